"""Sorts assignments by expert on the device, so that the host does not wait for it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.triton.chained import await_last, release_next
from redraft.ops.triton.launch import chain, on_its_device


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
    limit = min(experts, count) + count // block
    owners, firsts = torch.empty(2, limit, dtype=torch.int32, device=index.device)
    _group[(experts,)](
        index.contiguous(), order, edges, owners, firsts, count, experts, block, limit,
        SIZE=min(2048, triton.next_power_of_2(count)), BINS=triton.next_power_of_2(experts + 1),
        **chain(index.device),
    )  # fmt: skip
    return Groups(order, edges, owners, firsts, block, experts, index.shape[1])


@triton.jit(do_not_specialize=["count", "limit"])
def _group(
    index, order, edges, owners, firsts, count, experts, block, limit,
    SIZE: tl.constexpr, BINS: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    """Write one expert's assignments and blocks behind those of the experts before it.

    Each program counts for itself what all experts have. The last one fills the rest of the blocks.
    """
    await_last(CHAINED)
    expert, at, every = tl.program_id(0), tl.arange(0, SIZE), tl.arange(0, BINS)
    counts = tl.zeros((BINS,), tl.int32)
    for first in range(0, count, SIZE):  # what is read beyond the end counts as no expert's
        chosen = tl.load(index + first + at, mask=first + at < count, other=experts)
        counts += tl.histogram(chosen.to(tl.int32), BINS)
    release_next(CHAINED)
    before = every < expert
    begin = tl.sum(tl.where(before, counts, 0), 0)
    tl.store(edges + expert, begin)
    tl.store(edges + experts, count, mask=expert == experts - 1)
    blocks = (counts + block - 1) // block
    number = tl.sum(tl.where(before, blocks, 0), 0)
    own = tl.sum(tl.where(every == expert, blocks, 0), 0)
    for first in range(0, own, SIZE):
        mine = first + at < own
        tl.store(owners + number + first + at, expert, mask=mine)
        tl.store(firsts + number + first + at, begin + (first + at) * block, mask=mine)
    if expert == experts - 1:
        for first in range(number + own, limit, SIZE):
            tl.store(owners + first + at, experts, mask=first + at < limit)
    for first in range(0, count, SIZE):
        chosen = tl.load(index + first + at, mask=first + at < count, other=experts) == expert
        place = tl.cumsum(chosen.to(tl.int32), 0)
        tl.store(order + begin + place - 1, first + at, mask=chosen)
        begin += tl.sum(chosen.to(tl.int32), 0)
