"""Sorts assignments by expert on the device, so that the host does not wait for it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.triton.launch import on_its_device


@dataclass(frozen=True)
class Groups:
    """Assignments of tokens to experts, sorted by expert and cut into blocks.

    Attributes:
        order: int32 [assignments], token * top_k + rank of each assignment.
        edges: int32 [experts + 1], the number of the first assignment of each expert.
        owners: int32 [blocks], the expert of each block; `experts` for blocks that do not exist.
        firsts: int32 [blocks], the first assignment of each block.
        block: the number of assignments in a block.
    """

    order: Tensor
    edges: Tensor
    owners: Tensor
    firsts: Tensor
    block: int
    experts: int
    top_k: int


@on_its_device
def group_by_expert(index: Tensor, experts: int, block: int) -> Groups:
    """Group the assignments of tokens to experts.

    Args:
        index: int64 [tokens, top_k], the experts of each token.
        experts: how many there are.
        block: the number of assignments in a block.
    """
    count = index.numel()
    order = torch.empty(count, dtype=torch.int32, device=index.device)
    edges = torch.empty(experts + 1, dtype=torch.int32, device=index.device)
    _sort[(experts,)](
        index.contiguous(),
        order,
        edges,
        count,
        experts,
        SIZE=min(2048, triton.next_power_of_2(count)),
    )
    limit = min(experts, count) + count // block
    owners, firsts = torch.empty(2, limit, dtype=torch.int32, device=index.device)
    _blocks[(limit,)](
        edges, owners, firsts, experts, block, EXPERTS=triton.next_power_of_2(experts), num_warps=1
    )
    return Groups(order, edges, owners, firsts, block, experts, index.shape[1])


@triton.jit(do_not_specialize=["count"])
def _sort(index, order, edges, count, experts, SIZE: tl.constexpr):
    """Write one expert's assignments behind those of the experts before it."""
    expert, at = tl.program_id(0), tl.arange(0, SIZE)
    begin = 0
    for first in range(0, count, SIZE):
        chosen = tl.load(index + first + at, mask=first + at < count, other=experts)
        begin += tl.sum((chosen < expert).to(tl.int32), 0)
    tl.store(edges + expert, begin)
    for first in range(0, count, SIZE):
        mine = tl.load(index + first + at, mask=first + at < count, other=experts) == expert
        place = tl.cumsum(mine.to(tl.int32), 0)
        tl.store(order + begin + place - 1, first + at, mask=mine)
        begin += tl.sum(mine.to(tl.int32), 0)
    tl.store(edges + experts, count, mask=expert == experts - 1)


@triton.jit
def _blocks(edges, owners, firsts, experts, block, EXPERTS: tl.constexpr):
    """Write one block's expert and its first assignment."""
    number, expert = tl.program_id(0), tl.arange(0, EXPERTS)
    real = expert < experts
    begin, end = (
        tl.load(edges + expert, mask=real, other=0),
        tl.load(edges + expert + 1, mask=real, other=0),
    )
    blocks = (end - begin + block - 1) // block
    passed = tl.cumsum(blocks, 0) <= number
    owner = tl.sum(passed.to(tl.int32), 0)
    before = tl.sum(tl.where(passed, blocks, 0), 0)
    start = tl.load(edges + owner, mask=owner < experts, other=0)
    tl.store(owners + number, owner)
    tl.store(firsts + number, start + (number - before) * block)
