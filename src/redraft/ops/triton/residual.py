"""Norms, sums and scalars of a row between a layer's products, in two launches.

A program has one row. It computes in float32, and rounds wherever plain torch makes a tensor.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.triton.chained import await_last, release_next
from redraft.ops.triton.launch import chain, on_its_device

# Rows up to this width have 4 warps, wider ones 8: 16 numbers a thread at 4,096.
FOUR_WARPS = 2048


class FeedForwardInputs(NamedTuple):
    """The residual behind attention, and its norms for the dense block, the experts, the router;
    [N, H] each."""

    residual: Tensor
    dense: Tensor
    experts: Tensor
    router: Tensor


class FeedForwardWeights(NamedTuple):
    """Weights [H] of the norms behind attention, and of what the feed-forward parts begin with."""

    after_attention: Tensor
    dense: Tensor
    experts: Tensor
    router: Tensor


class EndWeights(NamedTuple):
    """Weights [H] of the norms behind the dense block, the experts, their sum, and of the norm that
    follows the layer."""

    dense: Tensor
    experts: Tensor
    both: Tensor
    following: Tensor


@on_its_device
def after_attention(
    mixed: Tensor, residual: Tensor, weights: FeedForwardWeights, eps: float
) -> FeedForwardInputs:
    """Norm attention's output, add it to the residual, and norm that for what reads it.

    Args:
        mixed: [N, H], or float32 [S, N, H], parts that are added in their order.
        residual: [N, H]. Its rows may lie in strides.
    """
    rows, width = residual.shape
    mixed = mixed.contiguous()
    made = FeedForwardInputs(*(residual.new_empty(rows, width) for _ in range(4)))
    wide = triton.next_power_of_2(width)
    _after_attention[(rows,)](
        mixed, residual, *weights, *made, rows, width, residual.stride(0), eps, width**-0.5,
        PARTS=_parts(mixed), WIDE=wide, num_warps=_warps(wide), **chain(residual.device),
    )  # fmt: skip
    return made


@on_its_device
def end_layer(
    residual: Tensor,
    dense: Tensor,
    experts: Tensor,
    mixture: Tensor | None,
    weights: EndWeights,
    scalars: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """Return a layer's output [N, H], and the norm of it that follows.

    Args:
        residual: [N, H].
        dense: [N, H], or float32 [S, N, H], parts that are added in their order.
        experts: [N, H]; with a mixture [N * top_k, H], the outputs of each token's experts.
        mixture: float32 [N, top_k], the weights with which those are added.
        scalars: [N, 1], by which a token's sum is multiplied.
    """
    rows, width = residual.shape
    dense, experts = dense.contiguous(), experts.contiguous()
    out, normed = residual.new_empty(rows, width), residual.new_empty(rows, width)
    wide = triton.next_power_of_2(width)
    _end_layer[(rows,)](
        residual, dense, experts, out if mixture is None else mixture, *weights, scalars,
        out, normed, rows, width, residual.stride(0), scalars.stride(0), eps, PARTS=_parts(dense),
        TOP_K=0 if mixture is None else mixture.shape[1], WIDE=wide, num_warps=_warps(wide),
        **chain(residual.device),
    )  # fmt: skip
    return out, normed


def _parts(x: Tensor) -> int:
    """Return in how many parts rows [N, H] come."""
    return 1 if x.ndim == 2 else len(x)


def _warps(wide: int) -> int:
    return 4 if wide <= FOUR_WARPS else 8


@triton.jit
def _row(base, at, inside):
    return tl.load(base + at, mask=inside, other=0).to(tl.float32)


@triton.jit
def _sum(base, here, step, at, inside, PARTS: tl.constexpr, LIKE: tl.constexpr):
    """Add the parts of a row, which lie `step` numbers apart, and round the sum."""
    x = _row(base + here, at, inside)
    for part in tl.static_range(1, PARTS):
        x += _row(base + here + part * step, at, inside)
    return _rounded(x, LIKE)


@triton.jit
def _unit(x, width, eps):
    """Divide a row by the root of its mean square; beyond its width it is 0."""
    return x * tl.rsqrt(tl.sum(x * x, 0) / width + eps)


@triton.jit
def _rounded(x, LIKE: tl.constexpr):
    return x.to(LIKE).to(tl.float32)


@triton.jit(do_not_specialize=["rows"])
def _after_attention(
    mixed, residual, after, dense, experts, router,
    out, out_dense, out_experts, out_router, rows, width, stride, eps, root,
    PARTS: tl.constexpr, WIDE: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    await_last(CHAINED)
    row, at = tl.program_id(0).to(tl.int64), tl.arange(0, WIDE)
    inside = at < width
    like: tl.constexpr = out.dtype.element_ty
    here = row * width
    x = _sum(mixed, here, rows.to(tl.int64) * width, at, inside, PARTS, like)
    update = _unit(x, width, eps) * _row(after, at, inside)
    x = _rounded(_row(residual + row * stride, at, inside) + _rounded(update, like), like)
    tl.store(out + here + at, x.to(like), mask=inside)
    release_next(CHAINED)
    unit = _unit(x, width, eps)
    tl.store(out_dense + here + at, (unit * _row(dense, at, inside)).to(like), mask=inside)
    tl.store(out_experts + here + at, (unit * _row(experts, at, inside)).to(like), mask=inside)
    scaled = _rounded(_rounded(unit, like) * _row(router, at, inside), like) * root
    tl.store(out_router + here + at, scaled.to(like), mask=inside)


@triton.jit(do_not_specialize=["rows"])
def _end_layer(
    residual, dense, experts, mixture, after_dense, after_experts, after_both, following, scalars,
    out, normed, rows, width, stride, scalar_stride, eps,
    PARTS: tl.constexpr, TOP_K: tl.constexpr, WIDE: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    await_last(CHAINED)
    row, at = tl.program_id(0).to(tl.int64), tl.arange(0, WIDE)
    inside = at < width
    like: tl.constexpr = out.dtype.element_ty
    here = row * width
    if TOP_K > 0:
        mixed = tl.zeros((WIDE,), tl.float32)
        for rank in tl.static_range(TOP_K):
            one = row * TOP_K + rank
            mixed += _row(experts + one * width, at, inside) * tl.load(mixture + one)
        mixed = _rounded(mixed, like)
    else:
        mixed = _row(experts + here, at, inside)
    sparse = _rounded(_unit(mixed, width, eps) * _row(after_experts, at, inside), like)
    plain = _sum(dense, here, rows.to(tl.int64) * width, at, inside, PARTS, like)
    plain = _unit(plain, width, eps) * _row(after_dense, at, inside)
    both = _rounded(_rounded(plain, like) + sparse, like)
    update = _rounded(_unit(both, width, eps) * _row(after_both, at, inside), like)
    x = _rounded(_row(residual + row * stride, at, inside) + update, like)
    x = _rounded(x * tl.load(scalars + row * scalar_stride).to(tl.float32), like)
    release_next(CHAINED)
    tl.store(out + here + at, x.to(like), mask=inside)
    last = _unit(x, width, eps) * _row(following, at, inside)
    tl.store(normed + here + at, last.to(like), mask=inside)
