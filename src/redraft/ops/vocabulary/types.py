"""What a step asks of the vocabulary, and what it learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from redraft.ops.batch_invariance import pad_for_invariance
from redraft.ops.vocabulary.logit_edits import Allowed, LogitEdits
from redraft.ops.vocabulary.token_classes import TokenClasses


class Found(NamedTuple):
    """What is found of positions: argmax, sample int64 [N], entropy, confidence float32 [N], mean
    embedding [N, H]."""

    argmax: Tensor
    sample: Tensor
    entropy: Tensor
    confidence: Tensor
    soft: Tensor


@dataclass(frozen=True)
class Picked:
    """What a constraint says of positions. marginals: float32 [N, K], the probability of each
    class. best, sample: int64 [N], classes. uniform: float64 [N] in (0, 1), the draw within the
    sampled class."""

    marginals: Tensor
    best: Tensor
    sample: Tensor
    uniform: Tensor


class SpanConstraint(Protocol):
    """What may stand at some neighbouring positions of one row's canvas."""

    @property
    def span(self) -> slice:
        """These positions."""
        ...

    def classes(self, device: torch.device) -> TokenClasses:
        """The tokens that it cannot tell apart."""
        ...

    def pick(self, mass: Tensor, best: Tensor, uniform: Tensor, wanted: Tensor) -> Picked:
        """From log masses of classes and log probabilities of their likeliest tokens, float32 [N,
        K], both up to a constant of each position, and draws, float64 [N], at the `wanted`
        positions of the span (bool, N of them True).

        Raises:
            ConstraintUnsatisfiedError: nothing that it allows fits.
        """
        ...


@dataclass(frozen=True)
class Comparison:
    """Rows whose distributions are compared with those of their step before.

    Attributes:
        wanted: one flag a row, B of them.
        previous: for each row the network's final hidden states [L, H] of the step before; None at
            a canvas's first step, or where the row is not wanted.
    """

    wanted: Sequence[bool]
    previous: Sequence[Tensor | None]


@dataclass(frozen=True, kw_only=True)
class Readout:
    """What a step asks of the vocabulary, a row each.

    temperature: float32 [B], > 0.
    uniform: float64 [B, L] in (0, 1); the sample is the first token, in vocabulary order, whose
        cumulative probability passes it.
    greedy: bool [B], rows whose sample is the argmax.
    edits: one LogitEdits a row, or None.
    wanted: bool [B, L], positions whose statistics are read at all; None for all.
    allowed: the tokens that positions may take; None for all.
    span_constraints: those of each row, their spans apart; such a row has no filters and
    nothing is `allowed`.
    comparison: what is compared with the step before; None for nothing.
    """

    temperature: Tensor
    uniform: Tensor
    greedy: Tensor
    edits: Sequence[LogitEdits | None]
    wanted: Tensor | None = None
    allowed: Allowed | None = None
    span_constraints: Sequence[Sequence[SpanConstraint]] = ()
    comparison: Comparison | None = None

    @property
    def plain(self) -> bool:
        """True where it asks for nothing but the distribution as it is."""
        return (
            self.comparison is None
            and self.allowed is None
            and not any(self.span_constraints)
            and all(edits is None for edits in self.edits)
        )

    def within(self, first: int, last: int) -> Readout:
        """The same of the tokens from `first` to before `last` alone, without filters."""
        return replace(
            self,
            edits=[None if edits is None else edits.within(first, last) for edits in self.edits],
        )

    def among(self, tokens: Tensor) -> Readout:
        """The same of `tokens` (int64 [C]) alone."""
        return replace(
            self, edits=[None if edits is None else edits.among(tokens) for edits in self.edits]
        )


@dataclass(frozen=True, kw_only=True)
class VocabularyStatistics:
    """What a step learns from the vocabulary: of the edited, tempered distribution at each
    position.

    argmax, sample: int64 [B, L]; entropy: float32 [B, L], nats; confidence: float32 [B, L], the
    probability of the argmax;
    soft_embedding: [B, L, H], the mean embedding under the distribution times sqrt(H), which is the
    next step's self-conditioning signal. Zeros at positions that were not wanted.
    divergence: float32 [B, L], nats, KL(this step || the step before) at this step's temperature,
    before constraints; 0 where it was not wanted, infinity at a first step. None where nothing is
    compared.
    hidden_states: [B, L, H], final hidden states of this step, for the next one's comparison. None
    where nothing is compared.
    """

    argmax: Tensor
    sample: Tensor
    entropy: Tensor
    confidence: Tensor
    soft_embedding: Tensor
    divergence: Tensor | None = None
    hidden_states: Tensor | None = None

    def rows(self, index: Tensor | slice) -> VocabularyStatistics:
        """Return the statistics of the rows at `index`."""
        optional = (self.divergence, self.hidden_states)
        divergence, hidden_states = (
            None if tensor is None else tensor[index] for tensor in optional
        )
        return VocabularyStatistics(
            argmax=self.argmax[index],
            sample=self.sample[index],
            entropy=self.entropy[index],
            confidence=self.confidence[index],
            soft_embedding=self.soft_embedding[index],
            divergence=divergence,
            hidden_states=hidden_states,
        )


@dataclass(frozen=True)
class Positions:
    """Some positions of a step, flat: states [N, H], owners int64 [N] (their rows), uniform float64
    [N], the readout, and which int64 [N], the mask of each (-1 for none; None where the readout has
    no masks)."""

    states: Tensor
    owners: Tensor
    uniform: Tensor
    readout: Readout
    which: Tensor | None = None

    def in_blocks(self, size: int, read: Callable[[Positions], Found]) -> Found:
        """What `read` finds in blocks of at most `size` positions, put together."""
        parts = [
            read(self[slice(start, start + size)]) for start in range(0, len(self.states), size)
        ]
        return Found(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def forbid(self, logits: Tensor, first: int = 0) -> Tensor:
        """`logits` [N, C] of the tokens from `first` on, with -inf put in place where a token is
        not allowed."""
        if self.which is not None and self.readout.allowed is not None:
            masks = self.readout.allowed.masks[:, first : first + logits.shape[-1]]
            bound = (self.which >= 0).nonzero().squeeze(-1)
            logits[bound] = logits[bound].masked_fill_(~masks[self.which[bound]], -torch.inf)
        return logits

    def __getitem__(self, index: Tensor | slice) -> Positions:
        which = None if self.which is None else self.which[index]
        return Positions(
            self.states[index], self.owners[index], self.uniform[index], self.readout, which
        )

    def whole_rows(self) -> Positions:
        """Padded so that every position is computed alike, whatever the others are (see
        `ops/rows.py`)."""
        states = pad_for_invariance(self.states)
        more = len(states) - len(self.states)
        owners, uniform = F.pad(self.owners, (0, more)), F.pad(self.uniform, (0, more), value=0.5)
        which = None if self.which is None else F.pad(self.which, (0, more), value=-1)
        return Positions(states, owners, uniform, self.readout, which)
