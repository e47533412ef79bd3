"""Sequence: one request on its way through the engine."""

from __future__ import annotations

import torch

from redraft.diffusion import Canvas, DenoisingState, Noise
from redraft.engine.edits import logit_edits
from redraft.engine.memory import Share
from redraft.engine.prefix_cache import PrefixCache
from redraft.engine.request import Request
from redraft.engine.writing import Writing
from redraft.grammar import Guide
from redraft.model import READ_BLOCK, Cache
from redraft.ops.vocabulary import Constraint, LogitEdits
from redraft.text import Tokenizer


class Sequence:
    """What is written, what is still to be encoded, and the canvas being denoised.

    Attributes:
        pending: tokens that the cache lacks: the prompt, later each committed canvas.
        state: the canvas's state, one row; None while tokens are pending. constraints: what the canvas must be.
        guide: where the text stands under its request's constraint.
    """

    def __init__(self, number: int, request: Request, prefixes: PrefixCache, tokenizer: Tokenizer | None) -> None:
        self.request = request
        self.writing = Writing(number, request, tokenizer)
        self.prefixes = prefixes
        self.model = prefixes.model
        self.encoded_at = 0  # the engine's step at which tokens of this sequence were last encoded
        self.pending = list(request.prompt)
        self.cache: Cache | None = None
        self.state: DenoisingState | None = None
        self.edits: LogitEdits | None = None
        constraint = request.constraint
        self.guide = Guide(constraint, request.config.max_new_tokens) if constraint else None
        self.constraints: tuple[Constraint, ...] = ()

    @property
    def room(self) -> int:
        """Tokens that the cache holds at most."""
        length = self.model.config.canvas_length
        commits = (self.request.config.max_new_tokens - 1) // length  # the last canvas is never encoded
        return len(self.request.prompt) + commits * length

    @property
    def share(self) -> Share:
        """What it holds while it runs."""
        return Share(rows=1, caches=1, tokens=self.room)

    @property
    def unknown(self) -> int:
        """Pending tokens, without those of a prompt that need not be encoded."""
        return len(self.pending) - (self.prefixes.known(self.request.prompt) if self.cache is None else 0)

    @property
    def first_unknown(self) -> tuple[int, ...]:
        """The prompt up to the first block that is not known and could be known to others once it is encoded; or nothing."""
        if self.cache is not None or not self.prefixes.capacity:
            return ()
        end = self.prefixes.known(self.request.prompt) + READ_BLOCK
        return self.request.prompt[:end] if end <= len(self.request.prompt) else ()

    def begin(self) -> Cache:
        """The cache, allocated when the sequence is first encoded: those that wait hold no memory. It holds what is known of
        the prompt; the rest is pending."""
        if self.cache is None:
            self.read_again()
        assert self.cache is not None
        return self.cache

    def read_again(self) -> None:
        """Begin a new cache: there is none, or what it holds is in doubt. What is written so far is pending too."""
        self.cache = self.prefixes.begin(self.request.prompt, self.room)
        if not self.writing.tokens:
            self.writing.cached_tokens = self.cache.length
        self.pending = [*self.request.prompt, *self.writing.tokens][self.cache.length :]

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
