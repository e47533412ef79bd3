"""Types of the vocabulary pass: its input, its statistics, and the positions that it reads."""

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


class PositionStatistics(NamedTuple):
    """Statistics of N positions.

    argmax, sample: int64 [N]. entropy (nats), confidence: float32 [N]. soft: [N, H], the mean
    embedding.
    """

    argmax: Tensor
    sample: Tensor
    entropy: Tensor
    confidence: Tensor
    soft: Tensor


@dataclass(frozen=True)
class Picked:
    """Classes that a constraint picks at N positions.

    marginals: float32 [N, K], the probability of each class. best, sample: int64 [N], classes of
    the likeliest text and of a sampled one. uniform: float64 [N] in (0, 1), the draw within the
    sampled class.
    """

    marginals: Tensor
    best: Tensor
    sample: Tensor
    uniform: Tensor


class SpanConstraint(Protocol):
    """A constraint on a span of neighbouring positions of one row's canvas."""

    @property
    def span(self) -> slice:
        """The positions."""
        ...

    def classes(self, device: torch.device) -> TokenClasses:
        """Return the classes of tokens between which the constraint makes no difference."""
        ...

    def pick(self, mass: Tensor, best: Tensor, uniform: Tensor, wanted: Tensor) -> Picked:
        """Pick a class at each of the N wanted positions, for a valid text.

        Args:
            mass: floating [N, K], log mass of each class, up to a constant of the position.
            best: floating [N, K], log probability of the likeliest token of each class, up to the
                same constant.
            uniform: float64 [N] in (0, 1), one draw a position.
            wanted: bool [positions of the span], N of them True.

        Raises:
            ConstraintUnsatisfiedError: nothing that it allows fits.
        """
        ...


@dataclass(frozen=True)
class DistributionComparison:
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
    """Input of a vocabulary pass beside the hidden states; B rows of L positions.

    temperature: float32 [B], > 0.
    uniform: float64 [B, L] in (0, 1); the sample is the first token, in vocabulary order, whose
        cumulative probability passes it.
    greedy: bool [B], rows whose sample is the argmax.
    edits: one LogitEdits a row, or None.
    wanted: bool [B, L], positions whose statistics are read at all; None for all.
    allowed: the tokens that positions may take; None for all.
    span_constraints: those of each row, their spans apart; nothing is `allowed` in such a row.
    comparison: what is compared with the step before; None for nothing.
    """

    temperature: Tensor
    uniform: Tensor
    greedy: Tensor
    edits: Sequence[LogitEdits | None]
    wanted: Tensor | None = None
    allowed: Allowed | None = None
    span_constraints: Sequence[Sequence[SpanConstraint]] = ()
    comparison: DistributionComparison | None = None

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
        """Return the readout for the tokens from `first` to before `last`, without filters."""
        return replace(
            self,
            edits=[None if edits is None else edits.within(first, last) for edits in self.edits],
        )

    def among(self, tokens: Tensor) -> Readout:
        """Return the readout for `tokens` (int64 [C]) alone."""
        return replace(
            self, edits=[None if edits is None else edits.among(tokens) for edits in self.edits]
        )


@dataclass(frozen=True, kw_only=True)
class VocabularyStatistics:
    """Statistics of the edited, tempered distribution at each position.

    Positions that were not wanted hold zeros.

    Attributes:
        argmax, sample: int64 [B, L].
        entropy: float32 [B, L], nats.
        confidence: float32 [B, L], the probability of the argmax.
        soft_embedding: [B, L, H], the mean embedding under the distribution times sqrt(H): the next
            step's self-conditioning signal.
        divergence: float32 [B, L], nats, KL(this step || the step before), both at this step's
            temperature and before constraints; infinity at a first step. None where nothing is
            compared.
        hidden_states: [B, L, H], final hidden states of this step, for the comparison of the next
            one. None where nothing is compared.
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
    """N positions of a step, flat.

    Attributes:
        states: [N, H], hidden states.
        owners: int64 [N], their rows.
        uniform: float64 [N].
        mask_index: int64 [N], the row of `readout.allowed.masks` that holds for each position, -1
            for none. None where the readout has no masks.
    """

    states: Tensor
    owners: Tensor
    uniform: Tensor
    readout: Readout
    mask_index: Tensor | None = None

    def in_blocks(
        self, size: int, read: Callable[[Positions], PositionStatistics]
    ) -> PositionStatistics:
        """Return the statistics of all positions, read in blocks of at most `size`."""
        parts = [
            read(self[slice(start, start + size)]) for start in range(0, len(self.states), size)
        ]
        return PositionStatistics(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def forbid(self, logits: Tensor, first: int = 0) -> Tensor:
        """Set to -inf, in place, the logits [N, C] of tokens that are not allowed; return them.

        The columns are the tokens from `first` on.
        """
        if self.mask_index is not None and self.readout.allowed is not None:
            masks = self.readout.allowed.masks[:, first : first + logits.shape[-1]]
            bound = (self.mask_index >= 0).nonzero().squeeze(-1)
            logits[bound] = logits[bound].masked_fill_(~masks[self.mask_index[bound]], -torch.inf)
        return logits

    def __getitem__(self, index: Tensor | slice) -> Positions:
        mask_index = None if self.mask_index is None else self.mask_index[index]
        return Positions(
            self.states[index], self.owners[index], self.uniform[index], self.readout, mask_index
        )

    def padded(self) -> Positions:
        """Return the positions padded, so that each is computed alike whatever the others are.

        See `ops/batch_invariance.py`.
        """
        states = pad_for_invariance(self.states)
        more = len(states) - len(self.states)
        owners, uniform = F.pad(self.owners, (0, more)), F.pad(self.uniform, (0, more), value=0.5)
        mask_index = (
            None if self.mask_index is None else F.pad(self.mask_index, (0, more), value=-1)
        )
        return Positions(states, owners, uniform, self.readout, mask_index)
