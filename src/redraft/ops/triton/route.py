"""The router's choice of experts in one launch."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.triton.chained import await_last, release_next
from redraft.ops.triton.launch import chain, on_its_device


@on_its_device
def route(scores: Tensor, top_k: int, per_expert_scale: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `ops.experts.route`. Among experts with equal scores the first comes first."""
    tokens, experts = scores.shape
    weights = torch.empty(tokens, top_k, dtype=torch.float32, device=scores.device)
    index = torch.empty(tokens, top_k, dtype=torch.int64, device=scores.device)
    _route[(tokens,)](
        scores.contiguous(),
        per_expert_scale,
        weights,
        index,
        experts,
        TOP_K=top_k,
        EXPERTS=triton.next_power_of_2(experts),
        RANKS=triton.next_power_of_2(top_k),
        num_warps=1,
        **chain(scores.device),
    )
    return weights, index


@triton.jit
def _route(
    scores, scales, weights, index, experts,
    TOP_K: tl.constexpr, EXPERTS: tl.constexpr, RANKS: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    await_last(CHAINED)
    token, expert, rank = tl.program_id(0), tl.arange(0, EXPERTS), tl.arange(0, RANKS)
    real = expert < experts
    score = tl.load(scores + token * experts + expert, mask=real, other=0).to(tl.float32)
    broken = tl.sum((score != score).to(tl.int32), 0) > 0
    left = tl.where(real & (score == score), score, float("-inf"))
    top = tl.max(left, 0)
    # The sum over all experts cancels out of what is renormalised. Where a score is NaN, some
    # experts are chosen, and their weights are NaN.
    mass, chosen, free = tl.zeros((RANKS,), tl.float32), tl.zeros((RANKS,), tl.int32), real
    for number in tl.static_range(TOP_K):
        greatest = tl.max(tl.where(free, left, float("-inf")), 0)
        best = tl.min(tl.where(free & (left == greatest), expert, EXPERTS), 0)
        mass = tl.where(
            rank == number, tl.where(broken, float("nan"), tl.exp(greatest - top)), mass
        )
        chosen = tl.where(rank == number, best, chosen)
        free = free & (expert != best)
    scale = tl.load(scales + chosen).to(tl.float32)
    inside = rank < TOP_K
    release_next(CHAINED)
    tl.store(weights + token * TOP_K + rank, mass / tl.sum(mass, 0) * scale, mask=inside)
    tl.store(index + token * TOP_K + rank, chosen.to(tl.int64), mask=inside)
