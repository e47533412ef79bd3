"""Products with matrices in a packed layout. Rows of the input are in groups, and each group has
its own matrix.

The tile of the matrix is the left side of each product: tensor cores want 16 or 64 rows there, and
an expert has few tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.packed_layout import BLOCK_COLUMNS, TILE_COLUMNS, TWO_PER_BYTE, PackedLayout
from redraft.ops.triton.grouping import Groups
from redraft.ops.triton.launch import on_its_device
from redraft.ops.triton.measured_tiles import measured_tile, product_name
from redraft.ops.triton.numbers import (
    ENCODINGS,
    INTERPRETED,
    TRITON_DTYPES,
    e2m1,
    e4m3,
    int4,
    int8,
    spread,
)


@dataclass(frozen=True)
class Tiles:
    """The size of a tile.

    Attributes:
        rows, columns: of the matrix that are read at a time.
        stages: the number of tiles in flight.
    """

    rows: int
    columns: int
    warps: int = 4
    stages: int = 3


# Chosen on an H100, for experts with a dozen rows each.
BFLOAT16_TILES = Tiles(64, TILE_COLUMNS)
FLOAT32_TILES = Tiles(64, 64, stages=2)
# Input rows in a tile: the smallest of these that holds a group of mean size.
TOKENS = (16, 32, 64)


@on_its_device
def product(
    x: Tensor,
    layout: PackedLayout,
    groups: Groups | None = None,
    *,
    gather: bool = False,
    scatter: bool = False,
    tiles: Tiles | None = None,
) -> Tensor:
    """Return x W^T of x [M, K]: [M, parts * N].

    Args:
        groups: which rows go with which matrix; None where there is one matrix.
        gather: x has one row for each token, which is read for each of the token's assignments.
            Otherwise it has one row for each assignment, in the order of `groups`.
        scatter: write the output in the order of assignments. Otherwise in the order of `groups`.
    """
    assert groups is None or layout.table or layout.form == "plain", "scales are read from a table"
    x = x if x.stride(-1) == 1 else x.contiguous()
    height, width = layout.shape
    count = len(groups.order) if groups else len(x)
    out = x.new_empty(count, layout.parts * height)
    if not count:
        return out
    tile = tiles or _tiles_of(x, layout, groups is not None)
    tokens = groups.block if groups else tile_tokens(count, 1)
    columns = max(16, min(tile.columns, triton.next_power_of_2(width)))
    if layout.form in TWO_PER_BYTE:
        columns = max(columns, BLOCK_COLUMNS)
    stacks = triton.cdiv(height, tile.rows)
    grid = (len(groups.owners) if groups else triton.cdiv(count, tokens), layout.parts * stacks)
    fast = x.dtype == torch.bfloat16 and not INTERPRETED
    encoding = ENCODINGS[layout.form]
    nothing = out  # stands for a tensor that the kernel does not read
    plan = (groups.order, groups.owners, groups.firsts, groups.edges) if groups else (nothing,) * 4
    top_k, experts = (groups.top_k, groups.experts) if groups else (1, 1)
    _product[grid](
        x, out, *plan, layout.values,
        nothing if layout.scales is None else layout.scales,
        nothing if layout.offsets is None else layout.offsets,
        nothing if layout.factors is None else layout.factors,
        count, height, stacks, x.stride(0), top_k, experts,
        K=width, FORM=layout.form, PARTS=layout.parts, GROUP=layout.group,
        VALUE=encoding.dtype, SCALE=TRITON_DTYPES[layout.scale_dtype], TABLE=layout.table,
        OFFSETS=layout.offsets is not None, FACTORS=layout.factors is not None,
        GROUPED=groups is not None, GATHER=gather, SCATTER=scatter,
        TOKENS=tokens, ROWS=tile.rows, COLUMNS=columns,
        NUMBER=tl.float32 if INTERPRETED else TRITON_DTYPES[x.dtype],
        FAST=fast, FACTOR=encoding.missing_factors[fast],
        num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return out


def _tiles_of(x: Tensor, layout: PackedLayout, grouped: bool) -> Tiles:
    """Return the tile that was measured on this card, or else the built-in one."""
    name = product_name(layout.form, layout.shape, layout.group, grouped, x.dtype)
    if measured := measured_tile(x.device, name, 4):
        return Tiles(*measured)
    return FLOAT32_TILES if x.dtype == torch.float32 else BFLOAT16_TILES


def tile_tokens(rows: int, matrices: int) -> int:
    """Return the number of input rows in a tile, for `rows` rows that are shared by `matrices`."""
    mean = rows / matrices
    return next((size for size in TOKENS if size >= 1.25 * mean), TOKENS[-1])


@triton.jit
def matrix_address(base, which, TABLE: tl.constexpr, DTYPE: tl.constexpr):
    """Return the address where a matrix's own numbers begin."""
    if TABLE:
        address = tl.multiple_of(tl.load(base + which).to(tl.pointer_type(DTYPE)), 16)
    else:
        address = base
    return address


@triton.jit
def _two_per_byte(
    inputs, here, scale, offset, row,
    K: tl.constexpr, FORM: tl.constexpr, GROUP: tl.constexpr, OFFSETS: tl.constexpr,
    TOKENS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, NUMBER: tl.constexpr,
    FAST: tl.constexpr,
):  # fmt: skip
    """Compute a tile of the product with a matrix that has two numbers a byte."""
    acc = tl.zeros((ROWS, TOKENS), tl.float32)
    # Each half of the bytes has half of a block's columns.
    WIDE: tl.constexpr = COLUMNS // 2
    RUN: tl.constexpr = 16 if GROUP == 16 else 32
    j, run = tl.arange(0, WIDE), tl.arange(0, WIDE // RUN) * RUN
    column, begin = j // 32 * 64 + j % 32, run // 32 * 64 + run % 32
    halves = here + row[:, None].to(tl.int64) * (K // 2)
    for k in range(0, K, COLUMNS):
        inside = k // 2 + j < K // 2
        packed = tl.load(halves + (k // 2 + j)[None, :], mask=inside[None, :], other=0)
        lower = spread(
            scale, row, k + begin, K // GROUP, GROUP, RUN, ROWS, WIDE, FORM == "fp4", FAST
        )
        upper = lower
        if GROUP < 64:
            upper = spread(
                scale, row, k + begin + 32, K // GROUP, GROUP, RUN, ROWS, WIDE, FORM == "fp4", FAST
            )
        if FORM == "int4":
            low, high = int4(packed, lower, upper, FAST)
        else:
            low, high = e2m1(packed, lower, upper, FAST)
        if OFFSETS:
            low += spread(offset, row, k + begin, K // GROUP, GROUP, RUN, ROWS, WIDE, False, FAST)
            high += spread(
                offset, row, k + begin + 32, K // GROUP, GROUP, RUN, ROWS, WIDE, False, FAST
            )
        at = inputs[None, :] + (k + column)[:, None]
        near = tl.load(at, mask=inside[:, None], other=0)
        far = tl.load(at + 32, mask=inside[:, None], other=0)
        acc = tl.dot(low.to(near.dtype).to(NUMBER), near.to(NUMBER), acc, input_precision="ieee")
        acc = tl.dot(high.to(near.dtype).to(NUMBER), far.to(NUMBER), acc, input_precision="ieee")
    return acc


@triton.jit
def _one_per_element(
    inputs, here, scale, offset, row,
    K: tl.constexpr, FORM: tl.constexpr, GROUP: tl.constexpr, OFFSETS: tl.constexpr,
    TOKENS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, NUMBER: tl.constexpr,
    FAST: tl.constexpr,
):  # fmt: skip
    """Compute a tile of the product with a matrix that has one number an element."""
    acc = tl.zeros((ROWS, TOKENS), tl.float32)
    j = tl.arange(0, COLUMNS)
    numbers = here + row[:, None].to(tl.int64) * K
    for k in range(0, K, COLUMNS):
        inside = k + j < K
        near = tl.load(inputs[None, :] + (k + j)[:, None], mask=inside[:, None], other=0)
        tile = tl.load(numbers + (k + j)[None, :], mask=inside[None, :], other=0)
        if FORM == "fp8":
            tile = e4m3(tile, FAST)
        if FORM == "int8":
            tile = int8(tile, FAST)
        if GROUP > 0:
            SPAN: tl.constexpr = GROUP if GROUP < COLUMNS else COLUMNS
            begin = k + tl.arange(0, COLUMNS // SPAN) * SPAN
            tile = tile.to(tl.float32) * spread(
                scale, row, begin, K // GROUP, GROUP, SPAN, ROWS, COLUMNS, False, False
            )
            if OFFSETS:
                tile += spread(
                    offset, row, begin, K // GROUP, GROUP, SPAN, ROWS, COLUMNS, False, False
                )
        tile = tile.to(near.dtype)
        acc = tl.dot(tile.to(NUMBER), near.to(NUMBER), acc, input_precision="ieee")
    if GROUP == 0 and FORM != "plain":
        acc *= tl.load(scale + row).to(tl.float32)[:, None]
    return acc


@triton.jit(do_not_specialize=["count"])  # of rows: any number comes
def _product(
    x, out, order, owners, firsts, edges, values, scales, offsets, factors,
    count, height, stacks, x_stride, top_k, experts,
    K: tl.constexpr, FORM: tl.constexpr, PARTS: tl.constexpr, GROUP: tl.constexpr,
    VALUE: tl.constexpr, SCALE: tl.constexpr, TABLE: tl.constexpr, OFFSETS: tl.constexpr,
    FACTORS: tl.constexpr, GROUPED: tl.constexpr, GATHER: tl.constexpr, SCATTER: tl.constexpr,
    TOKENS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, NUMBER: tl.constexpr,
    FAST: tl.constexpr, FACTOR: tl.constexpr,
):  # fmt: skip
    block, stack = tl.program_id(0), tl.program_id(1)
    owner, first, last = 0, block * TOKENS, count
    if GROUPED:
        owner = tl.load(owners + block)
        if owner >= experts:
            return
        first, last = tl.load(firsts + block), tl.load(edges + owner + 1)
    part, stack = stack // stacks, stack % stacks
    which = owner * PARTS + part
    # Rows beyond the last are read as the last, and not written.
    n = stack * ROWS + tl.arange(0, ROWS)
    row = tl.minimum(n, height - 1)
    m = first + tl.arange(0, TOKENS)
    there = m < last
    m = tl.minimum(m, last - 1)
    source, target = m, m
    if GATHER:
        source = tl.load(order + m) // top_k
    if SCATTER:
        target = tl.load(order + m)
    inputs = x + source.to(tl.int64) * x_stride
    here = matrix_address(values, which, TABLE, VALUE)
    if GROUPED and not TABLE:  # a tensor of many matrices has them one behind the other
        here += which.to(tl.int64) * height * K
    scale = matrix_address(scales, which, TABLE, SCALE)
    offset = matrix_address(offsets, which, TABLE and OFFSETS, SCALE)
    if FORM == "int4" or FORM == "fp4":
        acc = _two_per_byte(
            inputs,
            here,
            scale,
            offset,
            row,
            K,
            FORM,
            GROUP,
            OFFSETS,
            TOKENS,
            ROWS,
            COLUMNS,
            NUMBER,
            FAST,
        )
    else:
        acc = _one_per_element(
            inputs,
            here,
            scale,
            offset,
            row,
            K,
            FORM,
            GROUP,
            OFFSETS,
            TOKENS,
            ROWS,
            COLUMNS,
            NUMBER,
            FAST,
        )
    acc *= FACTOR
    if FACTORS:
        acc *= tl.load(factors + which)
    place = out + target[None, :].to(tl.int64) * (PARTS * height) + part * height + n[:, None]
    tl.store(place, acc.to(out.dtype.element_ty), mask=there[None, :] & (n < height)[:, None])
