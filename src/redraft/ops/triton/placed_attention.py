"""Causal attention of tokens whose keys and values are in their cache already.

The kernels read from memory where each sequence's columns lie and how many there are, so that one
captured launch serves other sequences and lengths: prompts and commits in slots of one length, and
single tokens, whose keys are shared out among programs and joined by a second launch.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.triton.attention import _meet
from redraft.ops.triton.launch import on_its_device
from redraft.ops.triton.measured_tiles import attention_name, measured_tile
from redraft.ops.triton.numbers import INTERPRETED, TRITON_DTYPES
from redraft.ops.triton.tiles import attention_tile, card_of

# Programs of a launch for single tokens: two for each multiprocessor of the largest cards.
TOKEN_PROGRAMS = 256
MAX_SHARES = 32
# Keys that a program for single tokens reads at a time.
TOKEN_KEYS = 32
# Numbers of a place. They are even, so that every place of a table begins at 16 bytes.
PLACE = 6


@on_its_device
def placed_attention(
    query: Tensor,
    places: Tensor,
    length: int,
    kv_heads: int,
    window: int | None,
    out: Tensor | None = None,
) -> Tensor:
    """Return the attention of S slots of tokens, each token over itself and those before it.

    Args:
        query: [S * length, heads, D].
        places: int64 [S, PLACE] on its device: the addresses of the first column's key and value in
            the first head, the elements from head to head, the columns before the slot's tokens,
            the number of its tokens, nothing. Keys and values have the queries' dtype.
        length: of a slot. Where it has fewer tokens, the rows behind them become zero.
        window: columns that a token sees at most, itself among them; None for all.
        out: contiguous rows that the result is written to; None for a new tensor.

    Returns:
        [S * length, heads * D].
    """
    rows, heads, dim = query.shape
    query = query.contiguous()
    out = query.new_empty(rows, heads * dim) if out is None else out
    assert out.is_contiguous(), out.stride()
    assert places.shape == (rows // length, PLACE), (places.shape, query.shape, length)
    assert places.is_contiguous(), places.stride()
    if length == 1:
        return _of_single_tokens(query, places, kv_heads, window, out)
    wide = max(16, triton.next_power_of_2(dim))
    measured = measured_tile(query.device, attention_name(wide, query.dtype, True), 4)
    built_in = attention_tile(card_of(query.device), wide, query.itemsize, causal=True)
    queries, keys, warps, stages = measured or built_in
    _attend_placed[(triton.cdiv(length, queries), heads, rows // length)](
        query, out, places, heads // kv_heads, heads, window or 0,
        LENGTH=length, DIM=dim, WIDE=wide, QUERIES=queries, KEYS=keys, WINDOW=window is not None,
        DTYPE=TRITON_DTYPES[query.dtype],
        NUMBER=tl.float32 if INTERPRETED else TRITON_DTYPES[query.dtype],
        NUMBERS=PLACE, num_warps=warps, num_stages=stages,
    )  # fmt: skip
    return out


def shares_of_keys(programs: int) -> int:
    """Return among how many programs the keys of a head of keys are shared, a power of two.

    Args:
        programs: heads of keys of all sequences.
    """
    wanted = max(1, TOKEN_PROGRAMS // max(1, programs))
    return min(MAX_SHARES, 1 << (wanted.bit_length() - 1))


def _of_single_tokens(
    query: Tensor, places: Tensor, kv_heads: int, window: int | None, out: Tensor
) -> Tensor:
    count, heads, dim = query.shape
    shares, group = shares_of_keys(count * kv_heads), heads // kv_heads
    wide = max(16, triton.next_power_of_2(dim))
    parts = query.new_empty(count, heads, shares, dim, dtype=torch.float32)
    sums = query.new_empty(count, heads, shares, 2, dtype=torch.float32)
    _attend_tokens[(shares, kv_heads, count)](
        query, parts, sums, places, window or 0, HEADS=heads, GROUP=group,
        ROWS=max(16, triton.next_power_of_2(group)), SHARES=shares, DIM=dim, WIDE=wide,
        KEYS=TOKEN_KEYS, WINDOW=window is not None, DTYPE=TRITON_DTYPES[query.dtype],
        NUMBER=tl.float32 if INTERPRETED else TRITON_DTYPES[query.dtype],
        NUMBERS=PLACE, num_warps=4, num_stages=2,
    )  # fmt: skip
    _join_shares[(count * heads,)](
        parts, sums, out, SHARES=shares, DIM=dim, WIDE=wide, num_warps=4,
    )  # fmt: skip
    return out


@triton.jit
def _columns(place, head, column, DTYPE: tl.constexpr, DIM: tl.constexpr):
    """Return where the keys and the values of a head begin, by columns of a head."""
    keys = tl.load(place).to(tl.pointer_type(DTYPE))
    values = tl.load(place + 1).to(tl.pointer_type(DTYPE))
    step = tl.load(place + 2)
    if DIM % 8 == 0:
        keys, values = tl.multiple_of(keys, 16), tl.multiple_of(values, 16)
        step = tl.multiple_of(step, 8)
    return keys + (head * step + column), values + (head * step + column)


@triton.jit
def _attend_placed(
    query, out, places, group, heads, window,
    LENGTH: tl.constexpr, DIM: tl.constexpr, WIDE: tl.constexpr, QUERIES: tl.constexpr,
    KEYS: tl.constexpr, WINDOW: tl.constexpr, DTYPE: tl.constexpr, NUMBER: tl.constexpr,
    NUMBERS: tl.constexpr,
):  # fmt: skip
    block, head, slot = tl.program_id(0) * QUERIES, tl.program_id(1), tl.program_id(2)
    place = places + slot * NUMBERS
    before, count = tl.load(place + 3).to(tl.int32), tl.load(place + 4).to(tl.int32)
    row, column, number = (
        block + tl.arange(0, QUERIES),
        tl.arange(0, WIDE),
        tl.arange(0, KEYS),
    )
    narrow = column < DIM
    there = (row < LENGTH)[:, None] & narrow[None, :]
    own = (slot * LENGTH + row).to(tl.int64)[:, None] * (heads * DIM) + head * DIM + column[None, :]
    queries = tl.load(query + own, mask=there, other=0).to(NUMBER)
    keys, values = _columns(place, head // group, column, DTYPE, DIM)
    acc, total = tl.zeros((QUERIES, WIDE), tl.float32), tl.zeros((QUERIES,), tl.float32)
    top = tl.full((QUERIES,), -1e30, tl.float32)
    position, stop = before + row, before + count
    begin, end = 0, tl.minimum(stop, before + block + QUERIES)
    end = tl.where(block < count, end, 0)  # no token is here
    if WINDOW:
        begin = tl.maximum(0, before + block - window + 1) // KEYS * KEYS
    for start in range(begin, end, KEYS):
        at = start + number
        inside = at < stop
        seen = inside[None, :] & (row < count)[:, None] & (at[None, :] <= position[:, None])
        if WINDOW:
            seen = seen & (at[None, :] > position[:, None] - window)
        far = at.to(tl.int64) * DIM
        acc, total, top = _meet(
            acc, total, top, queries, keys[:, None] + far[None, :],
            values[None, :] + far[:, None], seen, inside, narrow, NUMBER,
        )  # fmt: skip
    found = acc / tl.maximum(total, 1e-30)[:, None]
    found = tl.where((row < count)[:, None], found, 0)
    tl.store(out + own, found.to(out.dtype.element_ty), mask=there)


@triton.jit
def _attend_tokens(
    query, parts, sums, places, window,
    HEADS: tl.constexpr, GROUP: tl.constexpr, ROWS: tl.constexpr, SHARES: tl.constexpr,
    DIM: tl.constexpr, WIDE: tl.constexpr, KEYS: tl.constexpr, WINDOW: tl.constexpr,
    DTYPE: tl.constexpr, NUMBER: tl.constexpr, NUMBERS: tl.constexpr,
):  # fmt: skip
    """One share of the keys, for all query heads that one head of keys serves."""
    share, head, one = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    place = places + one * NUMBERS
    stop = (tl.load(place + 3) + tl.load(place + 4)).to(tl.int32)
    member, column, number = tl.arange(0, ROWS), tl.arange(0, WIDE), tl.arange(0, KEYS)
    narrow, known = column < DIM, member < GROUP
    there = known[:, None] & narrow[None, :]
    row = one * HEADS + head * GROUP + member
    at_query = row.to(tl.int64)[:, None] * DIM + column[None, :]
    queries = tl.load(query + at_query, mask=there, other=0).to(NUMBER)
    keys, values = _columns(place, head, column, DTYPE, DIM)
    first = 0
    if WINDOW:
        first = tl.maximum(0, stop - window)
    width = tl.cdiv(tl.cdiv(stop - first, SHARES), KEYS) * KEYS
    begin = first + share * width
    end = tl.minimum(stop, begin + width)
    acc, total = tl.zeros((ROWS, WIDE), tl.float32), tl.zeros((ROWS,), tl.float32)
    top = tl.full((ROWS,), -1e30, tl.float32)
    for start in range(begin, end, KEYS):
        at = start + number
        inside = at < end
        seen = inside[None, :] & known[:, None]
        far = at.to(tl.int64) * DIM
        acc, total, top = _meet(
            acc, total, top, queries, keys[:, None] + far[None, :],
            values[None, :] + far[:, None], seen, inside, narrow, NUMBER,
        )  # fmt: skip
    at_part = (row * SHARES + share).to(tl.int64)
    tl.store(parts + at_part[:, None] * DIM + column[None, :], acc, mask=there)
    tl.store(sums + at_part * 2, top, mask=known)
    tl.store(sums + at_part * 2 + 1, total, mask=known)


@triton.jit
def _join_shares(parts, sums, out, SHARES: tl.constexpr, DIM: tl.constexpr, WIDE: tl.constexpr):
    """Add the shares of one head of one token, in their order."""
    row, column = tl.program_id(0).to(tl.int64), tl.arange(0, WIDE)
    share = tl.arange(0, SHARES)
    at = row * SHARES + share
    top, total = tl.load(sums + at * 2), tl.load(sums + at * 2 + 1)
    scale = tl.exp(top - tl.max(top, 0))
    narrow = column < DIM
    part = tl.load(parts + at[:, None] * DIM + column[None, :], mask=narrow[None, :], other=0)
    found = tl.sum(part * scale[:, None], 0) / tl.maximum(tl.sum(total * scale, 0), 1e-30)
    tl.store(out + row * DIM + column, found.to(out.dtype.element_ty), mask=narrow)
