"""KL divergence between the distributions of two steps, from the hidden states of both.

The vocabulary passes by in chunks, as in `chunked`: both steps' logits of a chunk, and online sums
relative to each step's greatest logit so far. No [B, L, V] tensor exists. Rows with a filter
(top_k, top_p, min_p) need whole distributions and are read in blocks of positions.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from redraft.ops.vocabulary.chunked import BLOCK, chunk_size, edited_logits
from redraft.ops.vocabulary.dense import all_logits, positions_per_block
from redraft.ops.vocabulary.types import DistributionComparison, Positions

# In place of -inf, which would make differences that are no numbers.
MIN_LOGIT = -1e30


def read_divergence(
    positions: Positions,
    comparison: DistributionComparison,
    wanted: Tensor,
    filtered: Tensor,
    embedding: Tensor,
    softcap: float | None,
) -> Tensor:
    """Return KL(now || before) in nats, float32 [B * L], of all `positions`, B rows of L.

    Both distributions are edited and tempered as the readout says now, without constraints. It is
    infinity where a wanted row has no states of the step before, and 0 where it is not `wanted`
    (bool [B * L]). `filtered`: bool [B * L], positions whose row has a filter.
    """
    states = positions.states
    rows = len(comparison.wanted)
    blank = torch.zeros_like(states).view(rows, -1, states.shape[-1])
    before = torch.stack(
        [blank[0] if previous is None else previous for previous in comparison.previous]
    ).reshape(states.shape)

    def of_positions(flags: list[bool]) -> Tensor:
        return torch.tensor(flags, device=states.device)[positions.owners]

    known = of_positions([previous is not None for previous in comparison.previous])
    compared = of_positions(list(comparison.wanted)) & wanted
    divergence = torch.zeros(len(states), dtype=torch.float32, device=states.device)
    divergence[compared & ~known] = torch.inf
    for read, size, mine in (
        (_chunked, BLOCK, compared & known & ~filtered),
        (dense_divergence, positions_per_block(embedding), compared & known & filtered),
    ):
        index = mine.nonzero().squeeze(-1)
        if not len(index):
            continue
        now = positions[index].padded()
        then = replace(positions, states=before)[index].padded()
        blocks = [slice(start, start + size) for start in range(0, len(now.states), size)]
        found = torch.cat([read(now[block], then[block], embedding, softcap) for block in blocks])
        divergence[index] = found[: len(index)]
    return divergence


def dense_divergence(
    now: Positions, then: Positions, embedding: Tensor, softcap: float | None
) -> Tensor:
    """Return KL(now || then), float32 [N], with all logits of the positions at once."""
    ours, theirs = (
        all_logits(each, embedding, softcap).double().log_softmax(dim=-1) for each in (now, then)
    )
    # A token that a filter drops from both has no part in the sum.
    gap = torch.where(ours == -torch.inf, 0.0, ours - theirs)
    return (ours.exp() * gap).sum(dim=-1).clamp_min(0.0).float()


def _chunked(now: Positions, then: Positions, embedding: Tensor, softcap: float | None) -> Tensor:
    """Return the same by chunks of the vocabulary; no row has a filter."""
    top, total, cross = (_column(now, value) for value in (MIN_LOGIT, 0.0, 0.0))
    top_before, total_before = _column(now, MIN_LOGIT), _column(now, 0.0)
    size = chunk_size(now.states.device)
    for first in range(0, len(embedding), size):
        chunk = embedding[first : first + size]
        ours, theirs = (
            edited_logits(each, chunk, first, softcap).clamp_min_(MIN_LOGIT) for each in (now, then)
        )
        gap = ours - theirs
        shrink, top, mass = _raised(top, ours)
        total = total * shrink + mass.sum(dim=-1)
        cross = cross * shrink + gap.mul_(mass).sum(dim=-1)
        shrink, top_before, mass = _raised(top_before, theirs)
        total_before = total_before * shrink + mass.sum(dim=-1)
    # In float64: the two logarithms nearly cancel where a distribution has hardly changed.
    partition = (top_before.double() - top.double()) + (
        total_before.double() / total.double()
    ).log()
    return (cross.double() / total.double() + partition).clamp_min(0.0).float()


def _column(positions: Positions, value: float) -> Tensor:
    return torch.full(
        (len(positions.states),), value, dtype=torch.float32, device=positions.states.device
    )


def _raised(top: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the factor for sums relative to the old `top`, the new one, and the masses."""
    new = torch.maximum(top, logits.amax(dim=-1))
    return torch.exp(top - new), new, logits.sub_(new[:, None]).exp_()
