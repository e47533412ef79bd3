"""The weighted sum of the outputs of a token's experts."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.triton.launch import on_its_device

COLUMNS = 1024


@on_its_device
def combine(outputs: Tensor, weights: Tensor) -> Tensor:
    """Return the sum over ranks of output times weight, in float32 and in the order of the ranks.

    Args:
        outputs: [tokens * top_k, H].
        weights: float32 [tokens, top_k].

    Returns:
        [tokens, H] in the outputs' dtype.
    """
    tokens, top_k = weights.shape
    width = outputs.shape[1]
    out = outputs.new_empty(tokens, width)
    _combine[(tokens, triton.cdiv(width, COLUMNS))](
        outputs, weights, out, width, TOP_K=top_k, COLUMNS=COLUMNS
    )
    return out


@triton.jit
def _combine(outputs, weights, out, width, TOP_K: tl.constexpr, COLUMNS: tl.constexpr):
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < width
    total = tl.zeros((COLUMNS,), tl.float32)
    for rank in tl.static_range(TOP_K):
        row = tl.load(outputs + (token * TOP_K + rank) * width + column, mask=inside, other=0).to(
            tl.float32
        )
        total += row * tl.load(weights + token * TOP_K + rank)
    tl.store(out + token * width + column, total.to(out.dtype.element_ty), mask=inside)
