"""Sequence: one request on its way through the engine."""

from __future__ import annotations

from functools import cached_property

import torch

from redraft.diffusion import Canvas, DenoisingState, Noise
from redraft.engine.edits import logit_edits
from redraft.engine.request import Request
from redraft.engine.writing import Writing
from redraft.grammar import Guide
from redraft.model import Cache, DiffusionGemma
from redraft.ops.vocabulary import Constraint, LogitEdits
from redraft.text import Tokenizer


class Sequence:
    """What is written, what is still to be encoded, and the canvas being denoised.

    Attributes:
        pending: tokens that the cache lacks: the prompt, later each committed canvas.
        state: the canvas's state, one row; None while tokens are pending. constraints: what the canvas must be.
        guide: where the text stands under its request's constraint.
    """

    def __init__(self, number: int, request: Request, model: DiffusionGemma, tokenizer: Tokenizer | None) -> None:
        self.request = request
        self.writing = Writing(number, request, tokenizer)
        self.model = model
        self.encoded_at = 0  # the engine's step at which tokens of this sequence were last encoded
        self.pending = list(request.prompt)
        self.state: DenoisingState | None = None
        self.edits: LogitEdits | None = None
        constraint = request.constraint
        self.guide = Guide(constraint, request.config.max_new_tokens) if constraint else None
        self.constraints: tuple[Constraint, ...] = ()

    @cached_property
    def cache(self) -> Cache:
        """Allocated when the sequence first runs: those that wait hold no memory."""
        length = self.model.config.canvas_length
        commits = (self.request.config.max_new_tokens - 1) // length  # the last canvas is never encoded
        return self.model.new_cache(len(self.request.prompt) + commits * length)

    def read_again(self) -> None:
        """The cache is in doubt: begin a new one with all tokens so far."""
        self.__dict__.pop("cache", None)
        self.pending = [*self.request.prompt, *self.writing.tokens]

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
            self.pending = list(tokens)
        return added, text
