"""Whole matrices decoded into memory, for products of many rows.

The kernel of `product.py` decodes a matrix again for every 64 rows of the input. Beyond that it is
sooner done to write the numbers once, into memory that the device's cache still holds when its own
library multiplies with them.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.packed_layout import BLOCK_COLUMNS, TILE_COLUMNS, TWO_PER_BYTE, PackedLayout
from redraft.ops.triton.launch import launched_on
from redraft.ops.triton.numbers import ENCODINGS, TRITON_DTYPES, e2m1, e4m3, int4, int8, spread
from redraft.ops.triton.product import matrix_address

# Rows of a matrix that a program decodes.
ROWS = 16


def decode(
    layout: PackedLayout, dtype: torch.dtype, first: int = 0, last: int | None = None
) -> Tensor:
    """Return the numbers of matrices that stand on top of one another, [parts * N, K].

    Args:
        dtype: of the result. A number is computed in float32 and rounded once.
        first, last: rows of a matrix without parts, to return these alone.
    """
    assert layout.form != "plain", "a tensor is decoded already"
    height, width = layout.shape
    last = height if last is None else last
    assert layout.parts == 1 or last - first == height, "parts are decoded whole"
    values = layout.values
    out = torch.empty(layout.parts * (last - first), width, dtype=dtype, device=values.device)
    columns = max(16, min(TILE_COLUMNS, triton.next_power_of_2(width)))
    if layout.form in TWO_PER_BYTE:
        columns = max(columns, BLOCK_COLUMNS)
    stacks = triton.cdiv(last - first, ROWS)
    encoding = ENCODINGS[layout.form]
    with launched_on(values.device):
        _decode[(layout.parts * stacks, triton.cdiv(width, columns))](
            out, values,
            out if layout.scales is None else layout.scales,
            out if layout.offsets is None else layout.offsets,
            out if layout.factors is None else layout.factors,
            first, last, stacks,
            K=width, FORM=layout.form, GROUP=layout.group, VALUE=encoding.dtype,
            SCALE=TRITON_DTYPES[layout.scale_dtype], TABLE=layout.table,
            OFFSETS=layout.offsets is not None, FACTORS=layout.factors is not None,
            ROWS=ROWS, COLUMNS=columns, FACTOR=encoding.missing_factors[False],
        )  # fmt: skip
    return out


@triton.jit
def _halves(
    here, scale, offset, row, k,
    K: tl.constexpr, FORM: tl.constexpr, GROUP: tl.constexpr, OFFSETS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Decode a tile of two numbers a byte: those of the lower halves, and of the upper ones."""
    WIDE: tl.constexpr = COLUMNS // 2
    RUN: tl.constexpr = 16 if GROUP == 16 else 32
    j, run = tl.arange(0, WIDE), tl.arange(0, WIDE // RUN) * RUN
    begin = k + run // 32 * 64 + run % 32
    at = row[:, None].to(tl.int64) * (K // 2) + (k // 2 + j)[None, :]
    packed = tl.load(here + at, mask=(k // 2 + j < K // 2)[None, :], other=0)
    GROUPS: tl.constexpr = K // GROUP
    lower = spread(scale, row, begin, GROUPS, GROUP, RUN, ROWS, WIDE, FORM == "fp4", False)
    upper = spread(scale, row, begin + 32, GROUPS, GROUP, RUN, ROWS, WIDE, FORM == "fp4", False)
    if FORM == "int4":
        low, high = int4(packed, lower, upper, False)
    else:
        low, high = e2m1(packed, lower, upper, False)
    if OFFSETS:
        low += spread(offset, row, begin, GROUPS, GROUP, RUN, ROWS, WIDE, False, False)
        high += spread(offset, row, begin + 32, GROUPS, GROUP, RUN, ROWS, WIDE, False, False)
    return low, high


@triton.jit
def _wholes(
    here, scale, offset, row, k,
    K: tl.constexpr, FORM: tl.constexpr, GROUP: tl.constexpr, OFFSETS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Decode a tile of one number a byte."""
    j = tl.arange(0, COLUMNS)
    at = row[:, None].to(tl.int64) * K + (k + j)[None, :]
    tile = tl.load(here + at, mask=(k + j < K)[None, :], other=0)
    if FORM == "fp8":
        numbers = e4m3(tile, False)
    else:
        numbers = int8(tile, False)
    if GROUP > 0:
        SPAN: tl.constexpr = GROUP if GROUP < COLUMNS else COLUMNS
        begin = k + tl.arange(0, COLUMNS // SPAN) * SPAN
        numbers *= spread(scale, row, begin, K // GROUP, GROUP, SPAN, ROWS, COLUMNS, False, False)
        if OFFSETS:
            numbers += spread(
                offset, row, begin, K // GROUP, GROUP, SPAN, ROWS, COLUMNS, False, False
            )
    else:
        numbers *= tl.load(scale + row).to(tl.float32)[:, None]
    return numbers


@triton.jit(do_not_specialize=["first", "last"])
def _decode(
    out, values, scales, offsets, factors, first, last, stacks,
    K: tl.constexpr, FORM: tl.constexpr, GROUP: tl.constexpr, VALUE: tl.constexpr,
    SCALE: tl.constexpr, TABLE: tl.constexpr, OFFSETS: tl.constexpr, FACTORS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FACTOR: tl.constexpr,
):  # fmt: skip
    part, stack = tl.program_id(0) // stacks, tl.program_id(0) % stacks
    k, n = tl.program_id(1) * COLUMNS, first + stack * ROWS + tl.arange(0, ROWS)
    row, real = tl.minimum(n, last - 1), n < last
    here = matrix_address(values, part, TABLE, VALUE)
    scale = matrix_address(scales, part, TABLE, SCALE)
    offset = matrix_address(offsets, part, TABLE and OFFSETS, SCALE)
    missing = FACTOR
    if FACTORS:
        missing *= tl.load(factors + part)
    place = out + (part * (last - first) + n - first).to(tl.int64)[:, None] * K
    dtype: tl.constexpr = out.dtype.element_ty
    if FORM == "int4" or FORM == "fp4":
        low, high = _halves(
            here, scale, offset, row, k, K, FORM, GROUP, OFFSETS, ROWS, COLUMNS
        )  # fmt: skip
        j = tl.arange(0, COLUMNS // 2)
        column = k + j // 32 * 64 + j % 32
        inside = real[:, None] & (column < K)[None, :]
        tl.store(place + column[None, :], (low * missing).to(dtype), mask=inside)
        tl.store(place + 32 + column[None, :], (high * missing).to(dtype), mask=inside)
    else:
        numbers = _wholes(here, scale, offset, row, k, K, FORM, GROUP, OFFSETS, ROWS, COLUMNS)
        column = k + tl.arange(0, COLUMNS)
        inside = real[:, None] & (column < K)[None, :]
        tl.store(place + column[None, :], (numbers * missing).to(dtype), mask=inside)
