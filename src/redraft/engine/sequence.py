"""Sequence: one request on its way through the engine."""

from __future__ import annotations

import torch

from redraft.diffusion import Canvas, DenoisingState, Noise
from redraft.engine.logit_edits import logit_edits
from redraft.engine.memory_budget import Share
from redraft.engine.output import Writing
from redraft.engine.prefix_cache import PrefixCache
from redraft.engine.request import Request
from redraft.grammar import Guide
from redraft.network import READ_BLOCK, Cache
from redraft.ops.vocabulary import LogitEdits, SpanConstraint
from redraft.text import Tokenizer


class Sequence:
    """What is written, what is still to be encoded, and the canvas being denoised.

    Attributes:
        pending: what the cache lacks, in parts that are read apart: the prompt, later each
            committed canvas.
        state: the canvas's state, one row; None while tokens are pending. constraints: what the
            canvas must be.
        guide: where the text stands under its request's constraint. error: why it cannot go on.
    """

    def __init__(
        self, number: int, request: Request, prefixes: PrefixCache, tokenizer: Tokenizer | None
    ) -> None:
        self.request = request
        self.writing = Writing(number, request, tokenizer)
        self.prefixes = prefixes
        self.model = prefixes.model
        self.encoded_at = 0  # the engine's step at which tokens of this sequence were last encoded
        self.pending = [list(request.prompt)]
        self.cache: Cache | None = None
        self.error: Exception | None = None
        self.state: DenoisingState | None = None
        self.edits: LogitEdits | None = None
        dfa = request.dfa
        self.guide = Guide(dfa, request.config.max_new_tokens) if dfa else None
        self.constraints: tuple[SpanConstraint, ...] = ()

    @property
    def room(self) -> int:
        """Tokens that the cache holds at most."""
        length = self.model.config.canvas_length
        commits = (
            self.request.config.max_new_tokens - 1
        ) // length  # the last canvas is never encoded
        return len(self.request.prompt) + commits * length

    @property
    def share(self) -> Share:
        """What it holds while it runs."""
        return Share(rows=1, caches=1, tokens=self.room)

    @property
    def unknown(self) -> int:
        """Tokens of the next part, without those of a prompt that need not be encoded."""
        first, *others = map(len, self.pending)
        if self.cache is None:
            first -= self.prefixes.known(self.request.prompt)
        return first or sum(others[:1])

    @property
    def next_block(self) -> tuple[int, ...]:
        """The prompt up to the next block that is to be encoded and could be known to others from
        then on; or nothing."""
        if not self.prefixes.capacity:
            return ()
        end = READ_BLOCK + (
            self.prefixes.known(self.request.prompt) if self.cache is None else self.cache.length
        )
        return self.request.prompt[:end] if end <= len(self.request.prompt) else ()

    def begin(self) -> Cache:
        """The cache, allocated when the sequence is first encoded: those that wait hold no memory.
        It holds what is known of the prompt; the rest is pending."""
        if self.cache is None:
            self.cache = self.prefixes.begin(self.request.prompt, self.room)
            if not self.writing.tokens:
                self.writing.cached_tokens = self.cache.length
            self.take(self.cache.length)
        return self.cache

    def take(self, most: int) -> list[int]:
        """The next pending tokens, of one part: they are pending no more."""
        if not self.pending:
            return []
        taken = self.pending[0][:most]
        del self.pending[0][:most]
        if not self.pending[0]:
            del self.pending[0]
        return taken

    def forget(self) -> None:
        """Let go of the cache: what it holds is in doubt. All is pending again, in the parts in
        which it was read before, so that it becomes the same bits."""
        written, length = self.writing.tokens, self.model.config.canvas_length
        canvases = [written[first : first + length] for first in range(0, len(written), length)]
        self.cache, self.pending = None, [list(self.request.prompt), *canvases]

    @property
    def canvas_index(self) -> int:
        return len(self.writing.steps_per_canvas)

    @property
    def noise_row(self) -> tuple[int, int, int]:
        """(seed, stream, canvas) of the canvas being written."""
        return self.request.seed, self.request.stream, self.canvas_index

    def start_canvas(self) -> None:
        """Lay out the next canvas: noise, with the request's frozen tokens on the first."""
        config, device = self.model.config, self.model.device
        tokens = Noise.of([self.noise_row], device).initial(config.canvas_length, config.vocab_size)
        canvas = Canvas.free(tokens)
        if self.canvas_index == 0 and self.request.frozen:
            at = torch.tensor(list(self.request.frozen), device=device)
            tokens[0, at] = torch.tensor(list(self.request.frozen.values()), device=device)
            canvas.frozen[0, at] = True
        if self.guide is not None:
            frozen = self.request.frozen if self.canvas_index == 0 else {}
            self.constraints = (self.guide.on_canvas(config.canvas_length, frozen),)
        self.state = DenoisingState.start(canvas, config.hidden_size, self.model.dtype)
        self.edits = logit_edits(self.writing.config, self.writing.context, device)

    def settle(self, tokens: list[int], steps: int) -> tuple[list[int], str]:
        """Commit the argmax canvas; unless the text ends with it, it is encoded next."""
        self.state = None
        added, text = self.writing.commit(tokens, steps)
        if self.guide is not None:
            self.guide.advance(added)
        if self.writing.reason is None:
            self.pending = [list(tokens)]
        return added, text
