"""The middle of a gated feed-forward block in one launch."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.triton.launch import on_its_device

COLUMNS = 1024


@on_its_device
def gated(gate: Tensor, up: Tensor, form: str) -> Tensor:
    """Compute `ops.activation.gated` in float32; both halves may lie in strides.

    Args:
        gate, up: [..., I].
        form: the activation, one of the values of `ops.activation.IN_KERNEL`.
    """
    width = gate.shape[-1]
    out = gate.new_empty(gate.shape)
    halves = [_rows(half) for half in (gate, up)]
    rows = halves[0].shape[0]
    _gated[(rows, triton.cdiv(width, COLUMNS))](
        *halves, out, width, *(half.stride(0) for half in halves), FORM=form, COLUMNS=COLUMNS
    )
    return out


def _rows(x: Tensor) -> Tensor:
    """Return x [..., D] as rows [N, D] of numbers that lie side by side; a copy only where it must
    be one."""
    flat = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
    return flat if flat.stride(-1) == 1 else flat.contiguous()


@triton.jit
def _gated(
    gate, up, out, width, gate_stride, up_stride, FORM: tl.constexpr, COLUMNS: tl.constexpr
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < width
    x = tl.load(gate + row * gate_stride + column, mask=inside, other=0).to(tl.float32)
    other = tl.load(up + row * up_stride + column, mask=inside, other=0).to(tl.float32)
    if FORM == "gelu_tanh":  # (1 + tanh(z)) / 2 is sigmoid(2 z)
        x = x * tl.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))
    elif FORM == "gelu":
        x = 0.5 * x * (1 + tl.erf(x * 0.7071067811865476))
    elif FORM == "silu":
        x = x * tl.sigmoid(x)
    else:
        tl.static_assert(FORM == "relu")
        x = tl.where(x < 0, 0.0, x)
    dtype: tl.constexpr = out.dtype.element_ty
    active = x.to(dtype).to(tl.float32)
    tl.store(out + row * width + column, (active * other).to(dtype), mask=inside)
