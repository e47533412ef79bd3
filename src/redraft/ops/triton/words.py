"""Decodes words of 16 bits, which hold two or four numbers of a quantized matrix, in registers.

A register has two words that lie side by side. Each number of a word belongs to a tile of its own,
so two numbers of one tile are made by the same instructions, in their places, and no bits move from
lane to lane. `ops/packed_layout.py` says which numbers share a word.
"""

from __future__ import annotations

import triton
import triton.language as tl

from redraft.ops.triton.word_numbers import (
    e2m1_words,
    e4m3_words,
    four_scales,
    int4_words,
    int8_words,
    scale_pairs,
)

# Numbers that FAST makes are so many times too small: the scales stand in a bfloat16 times 2^101,
# for the steps, and those up to 2^26 have room there.
MISSING = 2.0**32


@triton.jit
def word_columns(k, FORM: tl.constexpr, WORDS: tl.constexpr):
    """Return the column of the first number of each word from column k on; the next number of the
    same word is 16 columns further."""
    BLOCK: tl.constexpr = 64 if FORM == "int4" or FORM == "fp4" else 32
    w = tl.arange(0, WORDS)
    return k + w // 16 * BLOCK + w % 16


@triton.jit
def word_tiles(
    here, scale, offset, row, k,
    K: tl.constexpr, FORM: tl.constexpr, GROUP: tl.constexpr, OFFSETS: tl.constexpr,
    ROWS: tl.constexpr, WORDS: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """Load words of some rows from column k on, and return a tile [ROWS, WORDS] of each of their
    numbers: four tiles, of which the first two are repeated where a word has two numbers.

    Without groups the scale of a row is left out. With FAST the numbers lack the factor MISSING.
    """
    PER: tl.constexpr = 4 if FORM == "int4" or FORM == "fp4" else 2
    w = tl.arange(0, WORDS)
    at = row[:, None].to(tl.int64) * (K // PER) + (k // PER + w)[None, :]
    words = tl.load(here + at, mask=(k // PER + w < K // PER)[None, :], other=0)
    if FORM == "fp4":
        fours = _of_groups(scale, row, k, 0, K, FORM, 64, WORDS)  # four scales in 32 bits
        s0, s1, s2, s3 = _float_scales(fours, ROWS, WORDS, FAST)
        t0, t1, t2, t3 = e2m1_words(words, s0, s1, s2, s3, FAST)
    elif FORM == "int4":
        a = _scales(scale, row, k, 0, K, FORM, GROUP, ROWS, WORDS, FAST)
        b, c, d = a, a, a
        if GROUP == 16:
            b = _scales(scale, row, k, 16, K, FORM, GROUP, ROWS, WORDS, FAST)
        if GROUP < 64:
            c = _scales(scale, row, k, 32, K, FORM, GROUP, ROWS, WORDS, FAST)
            d = c
        if GROUP == 16:
            d = _scales(scale, row, k, 48, K, FORM, GROUP, ROWS, WORDS, FAST)
        # The bits of the second and the last number stand four places higher.
        t0, t1, t2, t3 = int4_words(words, a[0], b[1], c[0], d[1], a[2], b[2], c[2], d[2], FAST)
    else:
        a = _scales(scale, row, k, 0, K, FORM, GROUP, ROWS, WORDS, FAST)
        b = a
        if GROUP == 16:
            b = _scales(scale, row, k, 16, K, FORM, GROUP, ROWS, WORDS, FAST)
        if FORM == "int8":
            t0, t1 = int8_words(words, a[0], b[0], a[2], b[2], FAST)
        else:
            t0, t1 = e4m3_words(words, a[0], b[0], FAST)
        t2, t3 = t0, t1
    if OFFSETS:
        t0 += _offsets(offset, row, k, 0, K, FORM, GROUP, ROWS, WORDS, FAST)
        t1 += _offsets(offset, row, k, 16, K, FORM, GROUP, ROWS, WORDS, FAST)
        if PER == 4:
            t2 += _offsets(offset, row, k, 32, K, FORM, GROUP, ROWS, WORDS, FAST)
            t3 += _offsets(offset, row, k, 48, K, FORM, GROUP, ROWS, WORDS, FAST)
    return t0, t1, t2, t3


@triton.jit
def _of_groups(
    base, row, k, FIRST: tl.constexpr, K: tl.constexpr, FORM: tl.constexpr, GROUP: tl.constexpr,
    WORDS: tl.constexpr,
):  # fmt: skip
    """Return what belongs to the group of column FIRST of each block from column k on."""
    BLOCK: tl.constexpr = 64 if FORM == "int4" or FORM == "fp4" else 32
    first = k + tl.arange(0, WORDS // 16) * BLOCK + FIRST
    group = tl.minimum(first // GROUP, K // GROUP - 1)
    return tl.load(base + row[:, None] * (K // GROUP) + group[None, :])


@triton.jit
def _each_word(x, ROWS: tl.constexpr, WORDS: tl.constexpr):
    """Repeat what belongs to blocks, [ROWS, WORDS / 16], for each of their words."""
    return tl.reshape(tl.broadcast_to(x[:, :, None], (ROWS, WORDS // 16, 16)), (ROWS, WORDS))


@triton.jit
def _scales(
    scale, row, k, FIRST: tl.constexpr, K: tl.constexpr, FORM: tl.constexpr, GROUP: tl.constexpr,
    ROWS: tl.constexpr, WORDS: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """Return the scale of each word's number FIRST / 16, three times: for bits in the lowest place,
    for bits four places higher, and times what is subtracted from the number.

    With FAST a scale stands twice in 32 bits, as bfloat16, times what the bits' place needs.
    """
    if GROUP == 0:
        ones = tl.full((ROWS, WORDS // 16), 1.0, tl.bfloat16)
    else:
        ones = _of_groups(scale, row, k, FIRST, K, FORM, GROUP, WORDS)
    if FAST:
        bits = ones.to(tl.bfloat16).to(tl.uint16, bitcast=True).to(tl.uint32)
        low, high, less = scale_pairs(bits, FORM)
    else:
        low = ones.to(tl.float32)
        high, less = low, low
    return (
        _each_word(low, ROWS, WORDS), _each_word(high, ROWS, WORDS), _each_word(less, ROWS, WORDS),
    )  # fmt: skip


@triton.jit
def _offsets(
    offset, row, k, FIRST: tl.constexpr, K: tl.constexpr, FORM: tl.constexpr, GROUP: tl.constexpr,
    ROWS: tl.constexpr, WORDS: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """Return what is added to each word's number FIRST / 16."""
    found = _of_groups(offset, row, k, FIRST, K, FORM, GROUP, WORDS).to(tl.float32)
    if FAST:
        found = (found * 2.0**-32).to(tl.bfloat16)
    return _each_word(found, ROWS, WORDS)


@triton.jit
def _float_scales(fours, ROWS: tl.constexpr, WORDS: tl.constexpr, FAST: tl.constexpr):
    """Return the scales of each word's four numbers, from the bits of four e4m3 in 32 bits."""
    s0, s1, s2, s3 = four_scales(fours, FAST)
    return (
        _each_word(s0, ROWS, WORDS), _each_word(s1, ROWS, WORDS),
        _each_word(s2, ROWS, WORDS), _each_word(s3, ROWS, WORDS),
    )  # fmt: skip
