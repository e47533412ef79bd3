"""Philox4x32-10 in one launch."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.triton.launch import on_its_device

SIZE = 256


@on_its_device
def philox(counter: tuple[Tensor, ...], key: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Compute `ops.philox.philox`."""
    given = [part.contiguous() for part in torch.broadcast_tensors(*counter, *key)]
    out = torch.empty(4, *given[0].shape, dtype=torch.int64, device=given[0].device)
    count = given[0].numel()
    _philox[(triton.cdiv(count, SIZE),)](*given, out, count, SIZE=SIZE)
    return out.unbind(0)


@triton.jit(do_not_specialize=["count"])
def _philox(c0, c1, c2, c3, k0, k1, out, count, SIZE: tl.constexpr):
    at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    inside = at < count
    first, second = (
        tl.load(c0 + at, mask=inside).to(tl.uint32),
        tl.load(c1 + at, mask=inside).to(tl.uint32),
    )
    third, fourth = (
        tl.load(c2 + at, mask=inside).to(tl.uint32),
        tl.load(c3 + at, mask=inside).to(tl.uint32),
    )
    low, high = (
        tl.load(k0 + at, mask=inside).to(tl.uint32),
        tl.load(k1 + at, mask=inside).to(tl.uint32),
    )
    # The multipliers and the key increments are those of `ops/philox.py`.
    much, more = tl.full((SIZE,), 0xD2511F53, tl.uint32), tl.full((SIZE,), 0xCD9E8D57, tl.uint32)
    for _ in tl.static_range(10):
        before = first
        first = tl.umulhi(more, third) ^ second ^ low
        second = more * third
        third = tl.umulhi(much, before) ^ fourth ^ high
        fourth = much * before
        low += tl.full((SIZE,), 0x9E3779B9, tl.uint32)
        high += tl.full((SIZE,), 0xBB67AE85, tl.uint32)
    tl.store(out + at, first.to(tl.int64), mask=inside)
    tl.store(out + count + at, second.to(tl.int64), mask=inside)
    tl.store(out + 2 * count + at, third.to(tl.int64), mask=inside)
    tl.store(out + 3 * count + at, fourth.to(tl.int64), mask=inside)
