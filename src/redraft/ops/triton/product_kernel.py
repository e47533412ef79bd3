"""The kernel of products with matrices in a packed layout.

The tile of the matrix is the left side of each product: tensor cores want 16 or 64 rows there, and
an expert has few tokens. Where an expert has a gate and an up, one program multiplies with both, so
that the inputs are read once, and writes the activation of the one times the other.
"""

from __future__ import annotations

import triton
import triton.language as tl

from redraft.ops.triton.chained import await_last, release_next
from redraft.ops.triton.gated import activate
from redraft.ops.triton.numbers import e4m3, int8, spread
from redraft.ops.triton.words import word_columns, word_tiles


@triton.jit
def matrix_address(base, which, TABLE: tl.constexpr, DTYPE: tl.constexpr):
    """Return the address where a matrix's own numbers begin."""
    if TABLE:
        address = tl.multiple_of(tl.load(base + which).to(tl.pointer_type(DTYPE)), 16)
    else:
        address = base
    return address


@triton.jit
def _by_words(
    inputs, here, scale, offset, other, other_scale, other_offset, row, other_row, begin, end,
    K: tl.constexpr, FORM: tl.constexpr, GROUP: tl.constexpr, OFFSETS: tl.constexpr,
    GATED: tl.constexpr, TOKENS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    NUMBER: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """Compute a tile of the product with a matrix whose numbers lie in words of 16 bits; with GATED
    also one with another matrix, from the same inputs."""
    acc = tl.zeros((ROWS, TOKENS), tl.float32)
    second = acc
    PER: tl.constexpr = 4 if FORM == "int4" or FORM == "fp4" else 2
    WORDS: tl.constexpr = COLUMNS // PER
    for k in range(begin, end, COLUMNS):
        column = word_columns(k, FORM, WORDS)[:, None]
        inside = column < end
        at = inputs[None, :] + column
        x0 = tl.load(at, mask=inside, other=0).to(NUMBER)
        x1 = tl.load(at + 16, mask=inside, other=0).to(NUMBER)
        t0, t1, t2, t3 = word_tiles(
            here, scale, offset, row, k, K, FORM, GROUP, OFFSETS, ROWS, WORDS, FAST
        )
        acc = _add(acc, t0, x0, inputs, NUMBER)
        acc = _add(acc, t1, x1, inputs, NUMBER)
        if PER == 4:
            x2 = tl.load(at + 32, mask=inside, other=0).to(NUMBER)
            x3 = tl.load(at + 48, mask=inside, other=0).to(NUMBER)
            acc = _add(acc, t2, x2, inputs, NUMBER)
            acc = _add(acc, t3, x3, inputs, NUMBER)
        if GATED:
            t0, t1, t2, t3 = word_tiles(
                other, other_scale, other_offset, other_row, k, K, FORM, GROUP, OFFSETS, ROWS,
                WORDS, FAST,
            )  # fmt: skip
            second = _add(second, t0, x0, inputs, NUMBER)
            second = _add(second, t1, x1, inputs, NUMBER)
            if PER == 4:
                second = _add(second, t2, x2, inputs, NUMBER)
                second = _add(second, t3, x3, inputs, NUMBER)
    return acc, second


@triton.jit
def _add(acc, tile, x, inputs, NUMBER: tl.constexpr):
    """Add a product of numbers of the inputs' dtype."""
    dtype: tl.constexpr = inputs.dtype.scalar.element_ty
    return tl.dot(tile.to(dtype).to(NUMBER), x, acc, input_precision="ieee")


@triton.jit
def number_tile(
    here, scale, offset, row, k,
    K: tl.constexpr, FORM: tl.constexpr, GROUP: tl.constexpr, OFFSETS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """Load a tile of a matrix that has one number an element, decoded."""
    j = tl.arange(0, COLUMNS)
    numbers = here + row[:, None].to(tl.int64) * K
    tile = tl.load(numbers + (k + j)[None, :], mask=(k + j < K)[None, :], other=0)
    if FORM == "fp8":
        tile = e4m3(tile, FAST)
    if FORM == "int8":
        tile = int8(tile, FAST)
    if GROUP > 0:
        SPAN: tl.constexpr = GROUP if GROUP < COLUMNS else COLUMNS
        begin = k + tl.arange(0, COLUMNS // SPAN) * SPAN
        tile = tile.to(tl.float32) * spread(
            scale, row, begin, K // GROUP, GROUP, SPAN, ROWS, COLUMNS
        )
        if OFFSETS:
            tile += spread(offset, row, begin, K // GROUP, GROUP, SPAN, ROWS, COLUMNS)
    return tile


@triton.jit
def _by_elements(
    inputs, here, scale, offset, other, other_scale, other_offset, row, other_row, begin, end,
    K: tl.constexpr, FORM: tl.constexpr, GROUP: tl.constexpr, OFFSETS: tl.constexpr,
    GATED: tl.constexpr, TOKENS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    NUMBER: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """Compute what `_by_words` does of matrices that have one number an element."""
    acc = tl.zeros((ROWS, TOKENS), tl.float32)
    second = acc
    j = tl.arange(0, COLUMNS)
    for k in range(begin, end, COLUMNS):
        at = inputs[None, :] + (k + j)[:, None]
        x = tl.load(at, mask=(k + j < end)[:, None], other=0).to(NUMBER)
        tile = number_tile(
            here, scale, offset, row, k, K, FORM, GROUP, OFFSETS, ROWS, COLUMNS, FAST
        )
        acc = _add(acc, tile, x, inputs, NUMBER)
        if GATED:
            tile = number_tile(
                other, other_scale, other_offset, other_row, k, K, FORM, GROUP, OFFSETS, ROWS,
                COLUMNS, FAST,
            )  # fmt: skip
            second = _add(second, tile, x, inputs, NUMBER)
    return acc, second


@triton.jit
def _finished(
    acc, scale, factors, row, which, GROUP: tl.constexpr, FORM: tl.constexpr,
    FACTORS: tl.constexpr, FACTOR: tl.constexpr,
):  # fmt: skip
    """Multiply sums by what all numbers of a row, or of the matrix, have in common."""
    if GROUP == 0 and FORM != "plain":
        acc *= tl.load(scale + row).to(tl.float32)[:, None]
    acc *= FACTOR
    if FACTORS:
        acc *= tl.load(factors + which)
    return acc


@triton.jit(do_not_specialize=["count"])  # of rows: any number comes
def _product(
    x, out, order, owners, firsts, edges, values, scales, offsets, factors,
    count, height, stacks, x_stride, top_k, experts,
    K: tl.constexpr, FORM: tl.constexpr, PARTS: tl.constexpr, GROUP: tl.constexpr,
    VALUE: tl.constexpr, SCALE: tl.constexpr, TABLE: tl.constexpr, IN_WORDS: tl.constexpr,
    OFFSETS: tl.constexpr, FACTORS: tl.constexpr, GROUPED: tl.constexpr, GATHER: tl.constexpr,
    SCATTER: tl.constexpr, GATE: tl.constexpr, TOKENS: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr, SPLIT: tl.constexpr, NUMBER: tl.constexpr, FAST: tl.constexpr,
    FACTOR: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    await_last(CHAINED)
    block, stack = tl.program_id(0), tl.program_id(1)
    owner, first, last = 0, block * TOKENS, count
    if GROUPED:
        owner = tl.load(owners + block)
        if owner >= experts:
            return
        first, last = tl.load(firsts + block), tl.load(edges + owner + 1)
    GATED: tl.constexpr = GATE != ""
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
    scale = matrix_address(scales, which, TABLE, SCALE)
    offset = matrix_address(offsets, which, TABLE and OFFSETS, SCALE)
    other, other_scale, other_offset, other_row, other_which = here, scale, offset, row, which
    HALVES: tl.constexpr = GATED and PARTS == 1  # both stand in one matrix
    if HALVES:
        other_row = row + height
    elif GATED:
        other_which = which + 1
        other = matrix_address(values, other_which, TABLE, VALUE)
        other_scale = matrix_address(scales, other_which, TABLE, SCALE)
        other_offset = matrix_address(offsets, other_which, TABLE and OFFSETS, SCALE)
    if GROUPED and not TABLE:  # a tensor of many matrices has them one behind the other
        size = (2 * height if HALVES else height) * K
        here += which.to(tl.int64) * size
        other += other_which.to(tl.int64) * size
    begin, end = 0, K
    if SPLIT > 1:  # a program has some of the columns, and writes sums of its own
        SHARE: tl.constexpr = ((K + COLUMNS - 1) // COLUMNS + SPLIT - 1) // SPLIT * COLUMNS
        begin = tl.program_id(2) * SHARE
        end = tl.minimum(begin + SHARE, K)
        out += tl.program_id(2).to(tl.int64) * count * PARTS * height
    if IN_WORDS:
        acc, second = _by_words(
            inputs, here, scale, offset, other, other_scale, other_offset, row, other_row,
            begin, end,
            K, FORM, GROUP, OFFSETS, GATED, TOKENS, ROWS, COLUMNS, NUMBER, FAST,
        )  # fmt: skip
    else:
        acc, second = _by_elements(
            inputs, here, scale, offset, other, other_scale, other_offset, row, other_row,
            begin, end,
            K, FORM, GROUP, OFFSETS, GATED, TOKENS, ROWS, COLUMNS, NUMBER, FAST,
        )  # fmt: skip
    release_next(CHAINED)
    acc = _finished(acc, scale, factors, row, which, GROUP, FORM, FACTORS, FACTOR)
    dtype: tl.constexpr = out.dtype.element_ty
    width = PARTS * height
    if GATED:  # rounded where tensors would be
        width = height
        second = _finished(
            second, other_scale, factors, other_row, other_which, GROUP, FORM, FACTORS, FACTOR
        )
        active = activate(acc.to(dtype).to(tl.float32), GATE).to(dtype).to(tl.float32)
        acc = active * second.to(dtype).to(tl.float32)
    place = out + target[None, :].to(tl.int64) * width + part * height + n[:, None]
    tl.store(place, acc.to(dtype), mask=there[None, :] & (n < height)[:, None])
