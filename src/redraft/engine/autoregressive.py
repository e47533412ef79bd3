"""Autoregressive decoding: the same weights read left to right, one token a pass, for comparison.

The encoder with the tied head is an autoregressive model.
"""

from __future__ import annotations

from redraft.config import ModelConfig
from redraft.engine.generation import TextWork
from redraft.engine.images import image_sizes
from redraft.engine.logit_edits import logit_edits
from redraft.engine.memory_budget import Share
from redraft.engine.row import Drawn, NextToken, Part
from redraft.engine.work import Course, Resources


class Autoregressive(TextWork):
    """Writes one token a pass."""

    def share(self, config: ModelConfig) -> Share:
        tokens = len(self.request.prompt) + self.request.config.max_new_tokens
        return Share(rows=1, caches=1, tokens=tokens, images=image_sizes(self.request.images))

    def course(self, resources: Resources) -> Course:
        output, prompt, images = self.output, self.request.prompt, self.request.images
        assert output is not None
        # The last token of the prompt is always encoded: its state predicts the first new token.
        row = resources.row(self.share(resources.config).tokens, prompt[:-1], images)
        row.append(Part(prompt, self._next_token(resources), images=images))
        while True:
            yield [row]
            assert isinstance(row.result, Drawn)
            token = row.result.token
            self.commit((token,), 1)  # a deadline ends it too
            if output.reason is not None:
                break
            readout = self._next_token(resources)
            row.append(Part((token,), readout, batch_invariant=False))
        self.finish(row)

    def _next_token(self, resources: Resources) -> NextToken:
        assert self.output is not None
        config = self.request.config
        return NextToken(
            config,
            (self.request.seed, self.request.stream, 0),
            len(self.output.tokens) + 1,
            logit_edits(config, self.output.context, resources.device, self.output.tokens),
            None if self.guide is None else self.guide.allowed(),
        )
