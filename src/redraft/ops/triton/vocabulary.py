"""The vocabulary pass of positions without edits: two products, and one kernel between them.

All logits of a block of positions exist once, in the weights' dtype: on a device two large products
are faster than many small ones. The kernel reads a position's logits three times, from the device's
cache: for the greatest, for the sums, and for the token at which the cumulative mass passes the
draw. Then it writes masses over the logits, for the mean embedding.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.linear import linear
from redraft.ops.triton.launch import on_its_device
from redraft.ops.vocabulary.dense import mean_embedding
from redraft.ops.vocabulary.types import PositionStatistics

BLOCK = 4096
# The masses of a position are scaled so that their sum is at most this before the mean embedding is
# computed: float16 ends at 65,504.
MAX_MASS = 64.0


def read_plain(
    states: Tensor,
    embedding: Tensor,
    softcap: float,
    temperature: Tensor,
    uniform: Tensor,
    greedy: Tensor,
    block_size: int,
) -> PositionStatistics:
    """Compute the statistics of positions that have no edits, a block of positions at a time.

    Args:
        states: [N, H].
        temperature: float32 [N].
        uniform: float64 [N], the draws.
        greedy: bool [N], take the likeliest token and not a sample.
        block_size: the number of positions in a block.
    """
    parts = []
    for first in range(0, len(states), block_size):
        some = slice(first, first + block_size)
        parts.append(
            _read_some(
                states[some], embedding, softcap, temperature[some], uniform[some], greedy[some]
            )
        )
    return (
        parts[0]
        if len(parts) == 1
        else PositionStatistics(*(torch.cat(part) for part in zip(*parts, strict=True)))
    )


@on_its_device
def _read_some(
    states: Tensor,
    embedding: Tensor,
    softcap: float,
    temperature: Tensor,
    uniform: Tensor,
    greedy: Tensor,
) -> PositionStatistics:
    count, size = len(states), len(embedding)
    logits = linear(states, embedding)
    temperature, uniform, greedy = (each.contiguous() for each in (temperature, uniform, greedy))
    argmax, sample = torch.empty(2, count, dtype=torch.int64, device=states.device)
    block = min(BLOCK, triton.next_power_of_2(size))
    total, entropy = torch.empty(2, count, dtype=torch.float32, device=states.device)
    _read[(count,)](
        logits, temperature, uniform, greedy, argmax, sample, total, entropy, size, softcap,
        BLOCK=block, MAX_MASS=MAX_MASS, num_warps=max(1, min(8, block // 128)),
    )  # fmt: skip
    soft = mean_embedding(logits, embedding).float() / total.clamp_max(MAX_MASS)[:, None]
    return PositionStatistics(argmax, sample, entropy, 1 / total, soft.to(states.dtype))


@triton.jit
def _tempered(at, inside, logits, softcap, temperature):
    raw = tl.load(logits + at, mask=inside, other=0).to(tl.float32)
    return tl.where(
        inside, (2 * tl.sigmoid(raw * (2 / softcap)) - 1) * (softcap / temperature), float("-inf")
    )


@triton.jit
def _read(
    logits, temperatures, uniforms, greedy, argmax, sample, totals, entropies, size, softcap,
    BLOCK: tl.constexpr, MAX_MASS: tl.constexpr,
):  # fmt: skip
    position, offset = tl.program_id(0), tl.arange(0, BLOCK)
    logits += position.to(tl.int64) * size
    temperature = tl.load(temperatures + position)
    best, where = tl.full((BLOCK,), float("-inf"), tl.float32), tl.zeros((BLOCK,), tl.int32)
    for first in range(0, size, BLOCK):
        tempered = _tempered(first + offset, first + offset < size, logits, softcap, temperature)
        where = tl.where(tempered > best, first + offset, where)
        best = tl.maximum(best, tempered)
    top = tl.max(best, 0)
    first_best = tl.min(tl.where(best == top, where, size), 0)
    total, weighted = tl.full((), 0.0, tl.float64), 0.0
    for first in range(0, size, BLOCK):
        inside = first + offset < size
        below = tl.where(
            inside, _tempered(first + offset, inside, logits, softcap, temperature) - top, -1e4
        )
        mass = tl.exp(below)
        total += tl.sum(mass, 0).to(tl.float64)
        weighted += tl.sum(mass * below, 0)
    # The first token whose cumulative mass passes the draw.
    target, reached = tl.load(uniforms + position) * total, tl.full((), 0.0, tl.float64)
    found = tl.full((), -1, tl.int32)
    share = tl.minimum(1.0, MAX_MASS / total.to(tl.float32))
    for first in range(0, size, BLOCK):
        inside = first + offset < size
        mass = tl.exp(_tempered(first + offset, inside, logits, softcap, temperature) - top)
        more = tl.sum(mass, 0).to(tl.float64)
        if (found < 0) & (reached + more > target):
            passed = reached + tl.cumsum(mass, 0).to(tl.float64) <= target
            last = tl.max(tl.where(mass > 0, offset, 0), 0)  # rounding may let none pass
            found = first + tl.minimum(tl.sum(passed.to(tl.int32), 0), last)
        reached += more
        tl.store(logits + first + offset, (mass * share).to(logits.dtype.element_ty), mask=inside)
    found = tl.where((found < 0) | tl.load(greedy + position), first_best, found)
    tl.store(argmax + position, first_best.to(tl.int64))
    tl.store(sample + position, found.to(tl.int64))
    total_mass = total.to(tl.float32)
    tl.store(totals + position, total_mass)
    entropy = tl.log(total_mass) - weighted / total_mass
    # NaN stays NaN, so that it can be reported.
    tl.store(entropies + position, tl.where(entropy < 0, 0.0, entropy))
