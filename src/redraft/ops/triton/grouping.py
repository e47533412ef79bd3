"""Which rows go to which expert, worked out on the device: nothing waits for it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor


@dataclass(frozen=True)
class Groups:
    """Assignments of tokens to experts, sorted by expert.

    Attributes:
        order: int64 [assignments], token * top_k + rank of each. edges: int64 [experts + 1], where each expert's begin.
        block: rows of a block. owners: int32 [blocks], the expert of each block, `experts` where there is no such block;
            firsts: its first row.
    """

    order: Tensor
    edges: Tensor
    owners: Tensor
    firsts: Tensor
    block: int
    experts: int
    top_k: int

    @classmethod
    def of(cls, index: Tensor, experts: int, block: int) -> Groups:
        """From the experts of each token, int64 [tokens, top_k]."""
        ordered, order = index.flatten().sort(stable=True)
        edges = torch.searchsorted(ordered, torch.arange(experts + 1, device=index.device))
        most = min(experts, len(order)) + len(order) // block
        owners = torch.empty(most, dtype=torch.int32, device=index.device)
        firsts = torch.empty_like(owners)
        _blocks[(1,)](
            edges, owners, firsts, experts, most, block,
            EXPERTS=triton.next_power_of_2(experts), MOST=triton.next_power_of_2(most), num_warps=8,
        )  # fmt: skip
        return cls(order, edges, owners, firsts, block, experts, index.shape[1])


@triton.jit
def _blocks(edges, owners, firsts, experts, most, block, EXPERTS: tl.constexpr, MOST: tl.constexpr):
    expert, number = tl.arange(0, EXPERTS), tl.arange(0, MOST)
    real = expert < experts
    begin, end = tl.load(edges + expert, mask=real, other=0), tl.load(edges + expert + 1, mask=real, other=0)
    count = ((end - begin + block - 1) // block).to(tl.int32)
    passed = tl.cumsum(count, 0)[None, :] <= number[:, None]
    owner = tl.sum(passed.to(tl.int32), 1)
    before = tl.sum(tl.where(passed, count[None, :], 0), 1)
    inside = number < most
    start = tl.load(edges + owner, mask=inside & (owner < experts), other=0).to(tl.int32)
    tl.store(owners + number, owner, mask=inside)
    tl.store(firsts + number, start + (number - before) * block, mask=inside)
