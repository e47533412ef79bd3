"""Rotary position embedding in one launch."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.triton.launch import on_its_device


@on_its_device
def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Compute `ops.rope.apply_rotary` in float32.

    Args:
        x: [..., heads, D].
        cos, sin: [..., D].
    """
    heads, width = x.shape[-2:]
    flat = x.contiguous()
    out = torch.empty_like(flat)
    rows = flat.numel() // width
    _turn[(rows,)](
        flat,
        cos.contiguous(),
        sin.contiguous(),
        out,
        heads,
        HALF=width // 2,
        WIDE=triton.next_power_of_2(width // 2),
        num_warps=1,
    )
    return out


@triton.jit
def _turn(x, cos, sin, out, heads, HALF: tl.constexpr, WIDE: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, WIDE)
    inside = at < HALF
    here, turn = row * 2 * HALF + at, row // heads * 2 * HALF + at
    first, second = (
        tl.load(x + here, mask=inside).to(tl.float32),
        tl.load(x + here + HALF, mask=inside).to(tl.float32),
    )
    cos_first, cos_second = (
        tl.load(cos + turn, mask=inside),
        tl.load(cos + turn + HALF, mask=inside),
    )
    sin_first, sin_second = (
        tl.load(sin + turn, mask=inside),
        tl.load(sin + turn + HALF, mask=inside),
    )
    dtype = out.dtype.element_ty
    tl.store(
        out + here,
        (first * cos_first.to(tl.float32) - second * sin_first.to(tl.float32)).to(dtype),
        mask=inside,
    )
    tl.store(
        out + here + HALF,
        (second * cos_second.to(tl.float32) + first * sin_second.to(tl.float32)).to(dtype),
        mask=inside,
    )
