"""The fast form: the vocabulary in chunks that stay in the cache, each met twice by its positions
and then forgotten.

First pass, chunk by chunk: logits, their maximum, and sums relative to the greatest logit so far
(as in online softmax, arXiv 1805.02867): of exp, of exp times logit, and of exp times embedding.
They give argmax, entropy and soft embedding. The sums of exp by chunk are kept; a uniform draw on
their running sum says in which chunk each sample lies, and only there, for those positions, the
logits are computed again. One random number a position, and no pass over numbers that leave the
cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.ops.linear import linear
from redraft.ops.vocabulary.dense import bounded_logits, logit_unit, tempered_logits
from redraft.ops.vocabulary.types import Positions, PositionStatistics

# Entries of the vocabulary at a time: on a CPU as many as stay in its cache; elsewhere more, since
# every launch costs.
CHUNK = 1024
WIDE_CHUNK = 1 << 15
# Positions at a time.
BLOCK = 512
# exp of less is 0 in float32, and 0 times this is 0 where 0 times -inf would not be a number.
MIN_LOG_MASS = -1e4


@dataclass
class RunningSums:
    """Running sums of a block of N positions after some chunks of the vocabulary.

    Attributes:
        top: float32 [N], the greatest logit. argmax: int64 [N], its token.
        total: float32 [N], of exp(logit - top).
        weighted: float32 [N], of exp(logit - top) * (logit - top): near 0 where one token has
            nearly all mass.
        soft: float32 [N, H], of exp(logit - top) * embedding.
        masses: by chunk, the sum of exp [N], and the maximum that it is relative to [N].
        edited: True where a logit may be -inf, or nearly.
    """

    top: Tensor
    argmax: Tensor
    total: Tensor
    weighted: Tensor
    soft: Tensor
    masses: list[tuple[Tensor, Tensor]]
    edited: bool

    @classmethod
    def nothing(cls, states: Tensor, edited: bool) -> RunningSums:
        zeros = states.new_zeros(len(states), dtype=torch.float32)
        return cls(
            torch.full_like(zeros, -torch.inf),
            torch.zeros_like(zeros, dtype=torch.int64),
            zeros,
            zeros.clone(),
            states.new_zeros(states.shape, dtype=torch.float32),
            [],
            edited,
        )

    def add(self, logits: Tensor, embedding: Tensor, first: int, out: Tensor | None = None) -> None:
        """Add one chunk of the vocabulary.

        Args:
            logits: float32 [N, C], overwritten. embedding: [C, H].
            first: token of the first column.
            out: columns that do not count, whose logits are -inf.
        """
        top, at = logits.max(dim=-1)
        self.argmax = torch.where(top > self.top, at + first, self.argmax)
        new = torch.maximum(self.top, top)
        # A token that is ruled out has logit -inf and mass 0. It adds nothing, also where all
        # tokens so far are ruled out.
        fall = (self.top - new).nan_to_num_(neginf=0.0)
        shrink = torch.where(self.top == -torch.inf, 0.0, torch.exp(fall))
        below = logits.sub_(new.masked_fill(new == -torch.inf, 0.0)[:, None])
        mass = torch.exp(below)
        total = mass.sum(dim=-1)
        if out is not None:
            below.index_fill_(1, out, 0.0)
        weighted = (below.clamp_min_(MIN_LOG_MASS) if self.edited else below).mul_(mass).sum(dim=-1)
        self.weighted = (self.weighted + fall * self.total) * shrink + weighted
        self.total = self.total * shrink + total
        self.soft.mul_(shrink[:, None]).add_(linear(mass.to(embedding.dtype), embedding.T))
        self.top = new
        self.masses.append((total, new))

    def chunk_masses(self) -> Tensor:
        """Return the mass of each chunk, float64 [N, chunks], relative to the greatest logit."""
        return torch.stack(
            [(total * torch.exp(top - self.top)).double() for total, top in self.masses], dim=-1
        )

    def chunk_of(self, uniform: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the chunk in which each draw lies, and how far into it, in mass.

        Args:
            uniform: float64 [n], draws of the positions `index` [n].
        """
        masses = self.chunk_masses()[index]
        reached = masses.cumsum(dim=-1)
        target = uniform * reached[:, -1]
        where = (
            torch.searchsorted(reached, target[:, None], right=True)
            .squeeze(-1)
            .clamp_max(masses.shape[-1] - 1)
        )
        return where, target - (reached - masses).gather(-1, where[:, None]).squeeze(-1)


def read_chunked(
    positions: Positions, embedding: Tensor, softcap: float | None
) -> PositionStatistics:
    """Return the statistics of positions; none of their rows has a filter."""
    return positions.in_blocks(BLOCK, lambda part: _read_block(part, embedding, softcap))


def chunk_size(device: torch.device) -> int:
    """Return how many entries of the vocabulary are read at a time."""
    return CHUNK if device.type == "cpu" else WIDE_CHUNK


def _read_block(
    positions: Positions, embedding: Tensor, softcap: float | None
) -> PositionStatistics:
    edited = positions.mask_index is not None or any(
        edits is not None for edits in positions.readout.edits
    )
    sums = RunningSums.nothing(positions.states, edited)
    size = chunk_size(positions.states.device)
    for first in range(0, len(embedding), size):
        chunk = embedding[first : first + size]
        sums.add(edited_logits(positions, chunk, first, softcap), chunk, first)
    sample = _look_again(positions, embedding, softcap, sums)
    entropy = (sums.total.log() - sums.weighted / sums.total).clamp_min_(0.0)
    soft = (sums.soft / sums.total[:, None]).to(embedding.dtype)
    sample = torch.where(positions.readout.greedy[positions.owners], sums.argmax, sample)
    return PositionStatistics(sums.argmax, sample, entropy, 1 / sums.total, soft)


def edited_logits(positions: Positions, chunk: Tensor, first: int, softcap: float | None) -> Tensor:
    """Return edited, tempered logits of one chunk, float32 [N, C]."""
    logits = positions.forbid(bounded_logits(positions.states, chunk, softcap), first)
    return tempered_logits(
        logits,
        positions.owners,
        positions.readout.within(first, first + len(chunk)),
        logit_unit(softcap),
    )


def _look_again(
    positions: Positions, embedding: Tensor, softcap: float | None, sums: RunningSums
) -> Tensor:
    """Return samples [N]: the first token whose cumulative mass passes the draw."""
    where, left = sums.chunk_of(
        positions.uniform, torch.arange(len(positions.states), device=positions.states.device)
    )
    sample, size = torch.zeros_like(where), chunk_size(where.device)
    for number in where.unique().tolist():
        mine = (where == number).nonzero().squeeze(-1)
        first = number * size
        chunk = embedding[first : first + size]
        part = positions[mine]
        logits = edited_logits(part.padded(), chunk, first, softcap)[: len(mine)]
        # The sums of one chunk differ in their last bits from what they were.
        sample[mine] = first + first_beyond(torch.exp(logits - sums.top[mine][:, None]), left[mine])
    return sample


def first_beyond(mass: Tensor, target: Tensor) -> Tensor:
    """Return where the cumulative sums of `mass` [N, C] pass `target` float64 [N].

    Where rounding lets no sum pass it, that is the last column with any mass.
    """
    at = torch.searchsorted(
        mass.cumsum(dim=-1, dtype=torch.float64), target[:, None], right=True
    ).squeeze(-1)
    last = mass.shape[-1] - 1 - (mass > 0).flip(-1).long().argmax(dim=-1)
    return torch.minimum(at, last)
