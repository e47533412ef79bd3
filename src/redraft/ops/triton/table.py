"""The mean of the rows of an int8 table, which are decoded as they are read.

With `product` for the logits, an embedding in int8 is never decoded whole: it is read twice a step,
a byte a number.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.packed_layout import PackedLayout
from redraft.ops.triton.launch import on_its_device
from redraft.ops.triton.numbers import INTERPRETED, TRITON_DTYPES, int8
from redraft.ops.triton.tiles import card_of, table_parts, table_tile


def has_weighted_rows(layout: PackedLayout) -> bool:
    """Return True if `weighted_rows` reads a table in this layout: int8, with a scale a row."""
    return (
        layout.form == "int8"
        and not (layout.in_words or layout.table or layout.group)
        and layout.parts == 1
    )


@on_its_device
def weighted_rows(weights: Tensor, layout: PackedLayout) -> Tensor:
    """Return the sums of a table's rows times weights, [M, K] of weights [M, N] and a table [N, K].

    The rows are cut into parts, whose float32 sums are added in their order. Their number depends
    on the table alone, so a row of the result is the same beside any others.
    """
    rows, width = layout.shape
    weights = weights if weights.stride(-1) == 1 else weights.contiguous()
    tile = table_tile(card_of(weights.device), weights.dtype)
    parts = table_parts(rows, tile)
    sums = torch.empty(parts, len(weights), width, dtype=torch.float32, device=weights.device)
    if len(weights) == 0:
        return weights.new_empty(0, width)
    share = triton.cdiv(triton.cdiv(rows, parts), tile.rows) * tile.rows
    columns = min(tile.columns, max(16, triton.next_power_of_2(width)))
    _weigh[(triton.cdiv(len(weights), tile.tokens), triton.cdiv(width, columns), parts)](
        weights, layout.values, layout.scales, sums, len(weights), rows, width, weights.stride(0),
        share, TOKENS=tile.tokens, ROWS=tile.rows, COLUMNS=columns,
        NUMBER=tl.float32 if INTERPRETED else TRITON_DTYPES[weights.dtype],
        FAST=weights.dtype == torch.bfloat16 and not INTERPRETED,
        num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return sums.sum(0).to(weights.dtype)


@triton.jit(do_not_specialize=["count"])
def _weigh(
    weights, values, scales, sums, count, rows, width, weight_stride, share,
    TOKENS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, NUMBER: tl.constexpr,
    FAST: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    k = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    begin = tl.program_id(2) * share
    end = tl.minimum(begin + share, rows)
    inside, real = (k < width)[None, :], (m < count)[:, None]
    dtype: tl.constexpr = weights.dtype.element_ty
    acc = tl.zeros((TOKENS, COLUMNS), tl.float32)
    at = tl.minimum(m, count - 1).to(tl.int64)[:, None] * weight_stride
    for first in range(begin, end, ROWS):
        row = first + tl.arange(0, ROWS)
        there = row < end
        tile = tl.load(
            values + row.to(tl.int64)[:, None] * width + k[None, :],
            mask=there[:, None] & inside, other=0,
        )  # fmt: skip
        scale = tl.load(scales + row, mask=there, other=0)
        # A number is rounded as a decoded table's is.
        if FAST:
            numbers = int8(tile, True) * scale.to(tl.bfloat16)[:, None]
        else:
            numbers = int8(tile, False) * scale.to(tl.float32)[:, None]
        weight = tl.load(weights + at + row[None, :], mask=there[None, :], other=0)
        acc = tl.dot(weight.to(NUMBER), numbers.to(dtype).to(NUMBER), acc, input_precision="ieee")
    sums += tl.program_id(2).to(tl.int64) * count * width
    place = sums + m.to(tl.int64)[:, None] * width + k[None, :]
    tl.store(place, acc, mask=real & inside)
