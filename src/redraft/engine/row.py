"""Row: one sequence of tokens in the engine: its KV cache, what the cache lacks, and its canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redraft.config import GenerationConfig
from redraft.diffusion import DenoisingState, Sampler, StoppingCriteria
from redraft.engine.images import PlacedImage
from redraft.engine.prefix_cache import PrefixCache
from redraft.grammar.guide import CanvasConstraint
from redraft.grammar.pace import Pace
from redraft.network import ENCODE_BLOCK, Cache, ImageSpan, block_edges, end_of_image
from redraft.ops.vocabulary import LogitEdits, SpanConstraint


@dataclass(frozen=True)
class LastState:
    """Read the final hidden state [H] of a part's last token."""


@dataclass(frozen=True)
class TokenScores:
    """Read the log-probability of each target, in nats, and of the likeliest tokens in its place.

    Attributes:
        targets: one token for each state that predicts one.
        before: hidden state [H] in front of the part: it predicts the first target, the part's own
            states all others. None: the part's states predict the targets one to one.
        top: number of likeliest tokens to read in the place of each target.
        piece: the part is a piece of a longer one, and no bit may depend on its length.
    """

    targets: tuple[int, ...]
    before: Tensor | None = None
    top: int = 0
    piece: bool = False


@dataclass(frozen=True)
class NextToken:
    """Draw the token behind a part, left to right.

    Attributes:
        config: its temperature is the temperature itself here; 0 is greedy.
        noise_row: (seed, stream, canvas) of the random numbers. step: number of the draw.
        edits: changes of the logits. allowed: bool [V]; None admits all tokens.
    """

    config: GenerationConfig
    noise_row: tuple[int, int, int]
    step: int
    edits: LogitEdits | None = None
    allowed: NDArray[np.bool_] | None = None


Readout = LastState | TokenScores | NextToken


@dataclass(frozen=True)
class Scores:
    """Result of TokenScores.

    log_probabilities: float32 [n], nats. top_tokens, top_log_probabilities: [n, top].
    """

    log_probabilities: Tensor
    top_tokens: Tensor
    top_log_probabilities: Tensor


@dataclass(frozen=True)
class StepOfRow:
    """Result of one denoising step for one canvas: one entry a position, and whether it is done."""

    tokens: tuple[int, ...]
    accepted: tuple[bool, ...]
    entropy: tuple[float, ...]
    confidence: tuple[float, ...]
    done: bool


@dataclass(frozen=True)
class Drawn:
    """Result of NextToken: the token, and the hidden state [H] that it was drawn from."""

    token: int
    state: Tensor


Result = Tensor | Scores | Drawn | StepOfRow


@dataclass(frozen=True)
class Part:
    """Clean tokens of a row that are encoded together.

    Attributes:
        tokens: at least one. readout: what to read from the pass; None reads nothing.
        batch_invariant: pad the pass so that no bit depends on other rows; single tokens that are
            written left to right do without, which is several times as fast.
        keep: write keys and values to the row's cache; without, several texts can be read behind
            one cache.
        images: those of a prompt, all of them, where the part is a prompt or the rest of one.
    """

    tokens: tuple[int, ...]
    readout: Readout | None = None
    batch_invariant: bool = True
    keep: bool = True
    images: tuple[PlacedImage, ...] = ()

    @property
    def divisible(self) -> bool:
        """True where a long part may be encoded in several passes."""
        return self.keep and not isinstance(self.readout, TokenScores)

    def cut(self, first: int, limit: int) -> int:
        """Return where a pass that begins at token `first` of the part ends, after at most `limit`
        tokens; an image is not cut, and may take it beyond that.

        A prompt with images begins at position 0 of its row, so that tokens are positions.
        """
        count = len(self.tokens)
        if not self.divisible or first + limit >= count:
            return count
        stop = first + limit
        if self.images:
            aligned = stop - stop % ENCODE_BLOCK
            stop = end_of_image(
                aligned if aligned > first else stop, [one.span for one in self.images]
            )
        return stop


@dataclass
class CanvasInputs:
    """Inputs of a row's denoising steps beside its cache.

    Attributes:
        state: one row. noise_row: (seed, stream, canvas).
        edits: changes of the logits. span_constraints: what the canvas must be.
        sampler, stopping: None for those of the config.
        pace: the inference of the constraints, where it takes several turns.
    """

    state: DenoisingState
    config: GenerationConfig
    noise_row: tuple[int, int, int]
    edits: LogitEdits | None = None
    span_constraints: Sequence[SpanConstraint] = ()
    sampler: Sampler | None = None
    stopping: StoppingCriteria | None = None
    pace: Pace = field(default_factory=Pace)

    @property
    def inference_work(self) -> int:
        """Work of the constraints' inference in a step at most, in edges (see `grammar.reach`)."""
        # What filters drop is known behind a first inference; the text is then inferred again.
        times = 2 if self.edits is not None and self.edits.filters else 1
        known = (one for one in self.span_constraints if isinstance(one, CanvasConstraint))
        return times * sum(one.work for one in known)

    @property
    def length(self) -> int:
        """Number of positions."""
        return self.state.argmax_canvas.shape[1]


@dataclass
class Row:
    """One sequence of tokens.

    A row is encoded part by part. Once no part is pending, its canvas takes one denoising step a
    pass. `result` holds what the pass gave that the row was run for.

    Attributes:
        prefixes: gives the cache, with what is known of `prompt` already in it.
        capacity: tokens that the cache holds at most.
        prompt: tokens that the prefix cache may know, the first of the row; the rest is its own.
        adapter: the adapter of a row that begins with its prompt; a row behind `base` has that
            one's. None for none.
        images: the places of images in the prompt.
        base: cache of a prefix that the row stands behind: shared as long as the row writes
            nothing to it, copied then. None: the row begins with its prompt.
        resume_at: `base` belongs to this row alone; it is cut back to so many tokens, and written.
        encoded_at: step of the engine at which tokens of this row were last encoded, or at which it
            began to wait for that; 0 before.
        denoised_at: step of the engine at which its canvas last took its turn; 0 before.
        encoder_passes: passes that encoded a part of a part and nothing else.
        features: soft tokens of images, by their first position.
    """

    prefixes: PrefixCache
    capacity: int = 0
    prompt: tuple[int, ...] = ()
    adapter: str | None = None
    images: tuple[ImageSpan, ...] = ()
    base: Cache | None = None
    resume_at: int | None = None
    cache: Cache | None = None
    canvas: CanvasInputs | None = None
    result: Result | None = None
    encoded_at: int = 0
    denoised_at: int = 0
    encoder_passes: int = 0
    cached_tokens: int = 0
    features: dict[int, Tensor] = field(default_factory=dict)
    _parts: list[Part] = field(default_factory=list)
    _next: int = 0  # the part that is encoded next
    _offset: int = 0  # its tokens that are encoded already
    _read: int = 0  # parts whose readout is known: encoded again, they are not read again

    def append(self, part: Part) -> None:
        """Add tokens to encode."""
        self._parts.append(part)
        if part.keep and self.base is not None and self.cache is self.base and not self._owns_base:
            self.cache = None  # `begin` copies it

    @property
    def pending(self) -> bool:
        """True while tokens are to be encoded."""
        return self._next < len(self._parts)

    @property
    def _owns_base(self) -> bool:
        return self.resume_at is not None

    @property
    def pending_tokens(self) -> int:
        """Number of tokens of the next part, without those that the prefix cache knows."""
        count = len(self._parts[self._next].tokens) - self._offset
        if self.cache is None and self.base is None:
            count -= self._known()
        if count or self._next + 1 == len(self._parts):
            return count
        return len(self._parts[self._next + 1].tokens)

    @property
    def divisible(self) -> bool:
        """True where the next part may be encoded in several passes."""
        return self._parts[self._next].divisible

    @property
    def next_block(self) -> tuple[str | None, tuple[int, ...]] | None:
        """The prompt up to the end of the block that is encoded next, with the adapter, if others
        can use it then."""
        if not self.prefixes.capacity:
            return None
        known = self._known() if self.cache is None else self.cache.length
        edges = block_edges(known, len(self.prompt), self.images)
        return (self.adapter, self.prompt[: edges[0]]) if edges else None

    def _known(self) -> int:
        """Return how many tokens of the prompt the prefix cache knows."""
        return self.prefixes.known(self.prompt, self.adapter, self.images)

    def begin(self) -> Cache:
        """Return the cache, which is allocated when the row is first encoded."""
        if self.cache is not None:
            return self.cache
        if self.base is None:
            self.cache = self.prefixes.begin(
                self.prompt, self.capacity, adapter=self.adapter, images=self.images
            )
            if not self.cached_tokens:
                self.cached_tokens = self.cache.length
            self._skip(self.cache.length)
        elif self.resume_at is not None:
            self.cache = self.base
            self.cache.truncate(self.resume_at)
        else:
            writes = any(part.keep for part in self._parts)
            self.cache = self.base.fork() if writes else self.base
        return self.cache

    def take(self, limit: int) -> Part | None:
        """Return the next tokens to encode, at most `limit` of a part that is divisible."""
        if not self.pending:
            return None
        part, first = self._parts[self._next], self._offset
        stop = part.cut(first, limit)
        whole = stop == len(part.tokens)
        readout = part.readout if whole and self._next >= self._read else None
        self._skip(stop - first)
        tokens = part.tokens[first:stop]
        return Part(tokens, readout, part.batch_invariant, part.keep, part.images)

    def unread_image(self, limit: int) -> PlacedImage | None:
        """Return an image whose soft tokens are needed by what `take` would return, and are not
        there yet; None where there is none."""
        if not self.pending:
            return None
        part, first = self._parts[self._next], self._offset
        stop = part.cut(first, limit)
        wanted = (one for one in part.images if first <= one.start < stop)
        return next((one for one in wanted if one.start not in self.features), None)

    def spans(self, part: Part) -> tuple[ImageSpan, ...]:
        """Return the images of a part that `take` gave, with the soft tokens that are there."""
        return tuple(
            ImageSpan(one.start, one.stop, self.features.get(one.start)) for one in part.images
        )

    def note_read(self) -> None:
        """Remember that every part so far was read."""
        self._read = self._next

    def forget(self) -> None:
        """Drop the cache: its content is in doubt. Everything is pending again.

        It is encoded in the same parts as before, so that it becomes the same bits.
        """
        self.cache = None
        self._next = self._offset = 0

    def _skip(self, count: int) -> None:
        """Count tokens of the next part as encoded."""
        if not count:
            return
        self._offset += count
        if self._offset == len(self._parts[self._next].tokens):
            self._next, self._offset = self._next + 1, 0


def tensor_of(tokens: Sequence[int], device: torch.device) -> Tensor:
    """Return token ids as int64 [n]."""
    return torch.tensor(tokens, dtype=torch.int64, device=device)
