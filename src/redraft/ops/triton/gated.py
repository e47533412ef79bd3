"""The middle of a gated feed-forward block in one launch."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.triton.chained import await_last, release_next
from redraft.ops.triton.launch import chain, on_its_device

COLUMNS = 1024


@on_its_device
def gated(gate: Tensor, up: Tensor, form: str) -> Tensor:
    """Compute `ops.activation.gated` in float32; both halves may lie in strides.

    Args:
        gate, up: [..., I].
        form: the activation, one of the values of `ops.activation.IN_KERNEL`.
    """
    halves = [_rows(half)[None] for half in (gate, up)]
    return _run(halves[0], halves[1], gate.new_empty(gate.shape), form)


@on_its_device
def gated_parts(gate: Tensor, up: Tensor, form: str, dtype: torch.dtype) -> Tensor:
    """Add parts of two halves and gate them: [N, I] in this dtype.

    Args:
        gate, up: float32 [S, N, I], added in their order, then rounded; they may lie in strides.
        form: as for `gated`.
    """
    return _run(gate, up, gate.new_empty(gate.shape[1:], dtype=dtype), form)


def _run(gate: Tensor, up: Tensor, out: Tensor, form: str) -> Tensor:
    """Gate halves [S, N, I] into `out`."""
    parts, rows, width = gate.shape
    if gate.stride() != up.stride():
        gate, up = gate.contiguous(), up.contiguous()
    _gated[(rows, triton.cdiv(width, COLUMNS))](
        gate, up, out, width, gate.stride(1), gate.stride(0) if parts > 1 else 0,
        FORM=form, COLUMNS=COLUMNS, PARTS=parts, **chain(gate.device),
    )  # fmt: skip
    return out


def _rows(x: Tensor) -> Tensor:
    """Return x [..., D] as rows [N, D] of numbers that lie side by side; a copy only where it must
    be one."""
    flat = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
    return flat if flat.stride(-1) == 1 else flat.contiguous()


@triton.jit
def activate(x, FORM: tl.constexpr):
    """Compute an activation of float32, one of the values of `ops.activation.IN_KERNEL`."""
    if FORM == "gelu_tanh":  # (1 + tanh(z)) / 2 is sigmoid(2 z)
        x = x * tl.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))
    elif FORM == "gelu":
        x = 0.5 * x * (1 + tl.erf(x * 0.7071067811865476))
    elif FORM == "silu":
        x = x * tl.sigmoid(x)
    else:
        tl.static_assert(FORM == "relu")
        x = tl.where(x < 0, 0.0, x)
    return x


@triton.jit
def _gated(
    gate, up, out, width, stride, part_stride, FORM: tl.constexpr, COLUMNS: tl.constexpr,
    PARTS: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    await_last(CHAINED)
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < width
    dtype: tl.constexpr = out.dtype.element_ty
    x, other = tl.zeros((COLUMNS,), tl.float32), tl.zeros((COLUMNS,), tl.float32)
    for part in tl.static_range(PARTS):
        at = row * stride + part * part_stride + column
        x += tl.load(gate + at, mask=inside, other=0).to(tl.float32)
        other += tl.load(up + at, mask=inside, other=0).to(tl.float32)
    release_next(CHAINED)
    x, other = x.to(dtype).to(tl.float32), other.to(dtype).to(tl.float32)
    active = activate(x, FORM).to(dtype).to(tl.float32)
    tl.store(out + row * width + column, (active * other).to(dtype), mask=inside)
