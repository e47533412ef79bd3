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

from redraft.ops.packed_layout import PackedLayout
from redraft.ops.triton.launch import launched_on
from redraft.ops.triton.numbers import ENCODINGS
from redraft.ops.triton.product import operands
from redraft.ops.triton.product_kernel import matrix_address, number_tile
from redraft.ops.triton.words import word_columns, word_tiles

# Rows of a matrix that a program decodes.
ROWS = 16
COLUMNS = 128


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
    rows = layout.parts * (last - first)
    out = torch.empty(rows, width, dtype=dtype, device=layout.values.device)
    columns = max(layout.block_columns, min(COLUMNS, triton.next_power_of_2(width)))
    stacks = triton.cdiv(last - first, ROWS)
    values, scales, offsets, factors, value_type, scale_type = operands(layout, out)
    factor = 1.0 if layout.in_words else ENCODINGS[layout.form].missing_factors[False]
    with launched_on(out.device):
        _decode[(layout.parts * stacks, triton.cdiv(width, columns))](
            out, values, scales, offsets, factors, first, last, stacks,
            K=width, FORM=layout.form, GROUP=layout.group, VALUE=value_type, SCALE=scale_type,
            TABLE=layout.table, IN_WORDS=layout.in_words, OFFSETS=layout.offsets is not None,
            FACTORS=layout.factors is not None, ROWS=ROWS, COLUMNS=columns, FACTOR=factor,
        )  # fmt: skip
    return out


@triton.jit
def _store(place, column, numbers, missing, real, dtype: tl.constexpr, K: tl.constexpr):
    inside = real[:, None] & (column < K)[None, :]
    tl.store(place + column[None, :], (numbers * missing).to(dtype), mask=inside)


@triton.jit(do_not_specialize=["first", "last"])
def _decode(
    out, values, scales, offsets, factors, first, last, stacks,
    K: tl.constexpr, FORM: tl.constexpr, GROUP: tl.constexpr, VALUE: tl.constexpr,
    SCALE: tl.constexpr, TABLE: tl.constexpr, IN_WORDS: tl.constexpr, OFFSETS: tl.constexpr,
    FACTORS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, FACTOR: tl.constexpr,
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
    if GROUP == 0:
        missing *= tl.load(scale + row).to(tl.float32)[:, None]
    place = out + (part * (last - first) + n - first).to(tl.int64)[:, None] * K
    dtype: tl.constexpr = out.dtype.element_ty
    if IN_WORDS:
        PER: tl.constexpr = 4 if FORM == "int4" or FORM == "fp4" else 2
        t0, t1, t2, t3 = word_tiles(
            here, scale, offset, row, k, K, FORM, GROUP, OFFSETS, ROWS, COLUMNS // PER, False
        )
        column = word_columns(k, FORM, COLUMNS // PER)
        _store(place, column, t0, missing, real, dtype, K)
        _store(place, column + 16, t1, missing, real, dtype, K)
        if PER == 4:
            _store(place, column + 32, t2, missing, real, dtype, K)
            _store(place, column + 48, t3, missing, real, dtype, K)
    else:
        tile = number_tile(
            here, scale, offset, row, k, K, FORM, GROUP, OFFSETS, ROWS, COLUMNS, False
        )
        _store(place, k + tl.arange(0, COLUMNS), tile, missing, real, dtype, K)
