"""Products with matrices in a packed layout. Rows of the input are in groups, and each group has
its own matrix."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.packed_layout import PackedLayout
from redraft.ops.triton.grouping import Groups
from redraft.ops.triton.launch import chain, on_its_device
from redraft.ops.triton.measured_tiles import measured_tile, product_name
from redraft.ops.triton.numbers import ENCODINGS, INTERPRETED, TRITON_DTYPES
from redraft.ops.triton.product_kernel import _product
from redraft.ops.triton.tiles import (
    TOKENS,
    ProductTile,
    card_of,
    dense_parts,
    multiprocessors,
    product_tile,
)
from redraft.ops.triton.words import MISSING


@on_its_device
def product(
    x: Tensor,
    layout: PackedLayout,
    groups: Groups | None = None,
    *,
    gather: bool = False,
    scatter: bool = False,
    gate: str | None = None,
    tile: ProductTile | None = None,
) -> Tensor:
    """Return x W^T of x [M, K]: [M, parts * N]; with a gate [M, N].

    Args:
        groups: which rows go with which matrix; None where there is one matrix.
        gather: x has one row for each token, which is read for each of the token's assignments.
            Otherwise it has one row for each assignment, in the order of `groups`.
        scatter: write the output in the order of assignments. Otherwise in the order of `groups`.
        gate: an activation, one of the values of `ops.activation.IN_KERNEL`. Each matrix has two
            parts, or two halves, and the result is the activation of the upper one's product, times
            that of the lower one's.
    """
    assert groups is None or layout.table or layout.form == "plain", "scales are read from a table"
    height, count = layout.shape[0], len(groups.order) if groups else len(x)
    parts = layout.parts
    if gate is not None:
        height, parts = height * parts // 2, 1
    out = x.new_empty(count, parts * height)
    if not count:
        return out
    tokens = groups.block if groups else tile_tokens(count)
    tile = _tile_of(x, layout, tokens, gated=gate is not None, grouped=groups is not None)
    stacks = triton.cdiv(height, tile.rows)
    blocks = len(groups.owners) if groups else triton.cdiv(count, tile.tokens)
    grid = blocks, parts * stacks, 1
    _launch(grid, x, layout, groups, out, height, tile, gather, scatter, gate or "")
    return out


@on_its_device
def partial_product(x: Tensor, layout: PackedLayout) -> Tensor:
    """Return x W^T of x [M, K] in parts, float32 [S, M, parts * N], that are to be added in order.

    S is one number for all M. Where it is 1 the result is `product`'s.
    """
    tile = product_tile(
        card_of(x.device), layout, x.dtype, tile_tokens(len(x)), gated=False, grouped=False
    )
    height = layout.shape[0]
    stacked = layout.parts * height, layout.shape[1]
    parts = dense_parts(stacked, tile, multiprocessors(x.device))
    if parts == 1 or len(x) == 0:
        return product(x, layout)
    out = x.new_empty(parts, len(x), stacked[0], dtype=torch.float32)
    grid = triton.cdiv(len(x), tile.tokens), layout.parts * triton.cdiv(height, tile.rows), parts
    _launch(grid, x, layout, None, out, height, tile, False, False, "")
    return out


def _tile_of(
    x: Tensor, layout: PackedLayout, tokens: int, *, gated: bool, grouped: bool
) -> ProductTile:
    """Return the tile that was measured on this card, or else the built-in one."""
    tile = product_tile(card_of(x.device), layout, x.dtype, tokens, gated=gated, grouped=grouped)
    name = product_name(layout.form, layout.shape, layout.group, grouped, x.dtype)
    if tokens <= TOKENS[-1] and (measured := measured_tile(x.device, name, 4)):
        rows, columns, warps, stages = measured
        return ProductTile(rows, tile.tokens, columns, warps, stages)
    return tile


def _launch(
    grid: tuple[int, ...],
    x: Tensor,
    layout: PackedLayout,
    groups: Groups | None,
    out: Tensor,
    height: int,
    tile: ProductTile,
    gather: bool,
    scatter: bool,
    gate: str,
) -> None:
    x = x if x.stride(-1) == 1 else x.contiguous()
    width = layout.shape[1]
    fast = x.dtype == torch.bfloat16 and not INTERPRETED
    encoding = ENCODINGS[layout.form]
    factor = encoding.missing_factors[fast]
    if layout.in_words:
        factor = MISSING if fast else 1.0
    columns = max(layout.block_columns, min(tile.columns, triton.next_power_of_2(width)))
    plan = (groups.order, groups.owners, groups.firsts, groups.edges) if groups else (out,) * 4
    top_k, experts = (groups.top_k, groups.experts) if groups else (1, 1)
    values, scales, offsets, factors, value_type, scale_type = operands(layout, out)
    _product[grid](
        x, out, *plan, values, scales, offsets, factors,
        len(groups.order) if groups else len(x), height, triton.cdiv(height, tile.rows),
        x.stride(0), top_k, experts,
        K=width, FORM=layout.form, PARTS=layout.parts, GROUP=layout.group,
        VALUE=value_type, SCALE=scale_type, TABLE=layout.table, IN_WORDS=layout.in_words,
        OFFSETS=layout.offsets is not None, FACTORS=layout.factors is not None,
        GROUPED=groups is not None, GATHER=gather, SCATTER=scatter, GATE=gate,
        TOKENS=tile.tokens, ROWS=tile.rows, COLUMNS=columns, SPLIT=grid[2],
        NUMBER=tl.float32 if INTERPRETED else TRITON_DTYPES[x.dtype], FAST=fast, FACTOR=factor,
        num_warps=tile.warps, num_stages=tile.stages, **chain(x.device),
    )  # fmt: skip


def operands(
    layout: PackedLayout, nothing: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, tl.dtype, tl.dtype]:
    """Return a layout's values, scales, offsets and factors as kernels read them, and the types of
    values and scales.

    Args:
        nothing: stands for a tensor that a kernel does not read.
    """
    values, scales = layout.values, nothing if layout.scales is None else layout.scales
    value_type, scale_type = ENCODINGS[layout.form].dtype, TRITON_DTYPES[layout.scale_dtype]
    if layout.in_words:
        value_type = tl.uint16
        values = values if layout.table else values.view(torch.uint16)
    if layout.form == "fp4":  # four scales, a block's, at a time
        scale_type = tl.uint32
        scales = scales if layout.table else scales.view(torch.uint32)
    offsets = nothing if layout.offsets is None else layout.offsets
    factors = nothing if layout.factors is None else layout.factors
    return values, scales, offsets, factors, value_type, scale_type


def tile_tokens(rows: int) -> int:
    """Return the number of input rows in a tile of a product with one matrix: more than 64 stand
    for all that are more."""
    return next((size for size in TOKENS if size >= rows), 2 * TOKENS[-1])
