"""Attention without scores in memory, as in FlashAttention (arXiv 2205.14135): keys in blocks, sums
relative to the greatest score so far.

A canvas sees a prefix, whose keys and values lie in a cache, and itself, whose keys and values are
tensors of the pass. The kernel reads from memory where the prefixes are and how long they are. So
one captured launch serves other prefixes.

One canvas has fewer programs than a large card has multiprocessors. There its keys are cut in two:
each program writes sums of its part, relative to the greatest score of the part, and a second
launch adds them.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.triton.chained import await_last, release_next
from redraft.ops.triton.launch import chain, on_its_device
from redraft.ops.triton.measured_tiles import attention_name, measured_tile
from redraft.ops.triton.numbers import INTERPRETED, TRITON_DTYPES
from redraft.ops.triton.tiles import (
    AttentionTile,
    attention_tile,
    card_of,
    key_parts,
    multiprocessors,
)


def canvas_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    prefixes: Tensor,
    length: int,
    out: Tensor | None = None,
) -> Tensor:
    """Return the attention of canvases over their prefixes and themselves.

    Args:
        query: [B * L, heads, D].
        key, value: [B * L, kv_heads, D], of the canvases.
        prefixes: int64 [B, 4], a `PrefixLocation` for each canvas.
        length: L.
        out: contiguous rows that the result is written to; None for a new tensor.

    Returns:
        [B * L, heads * D].
    """
    return _run(
        query, key, value, prefixes, length, key.stride(0), key.stride(1), length, False, None, out
    )


def causal_attention(
    query: Tensor, key: Tensor, value: Tensor, window: int | None, out: Tensor | None = None
) -> Tensor:
    """Compute `ops.attention.causal_attention`."""
    return _run(
        query,
        key,
        value,
        query,
        len(query),
        key.stride(1),
        key.stride(0),
        key.shape[1],
        True,
        window,
        out,
    )


@on_its_device
def _run(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    prefixes: Tensor,
    length: int,
    step: int,
    head_step: int,
    keys: int,
    causal: bool,
    window: int | None,
    out: Tensor | None,
) -> Tensor:
    assert key.stride() == value.stride(), (key.stride(), value.stride())
    rows, heads, dim = query.shape
    kv_heads = key.shape[0] if causal else key.shape[1]
    query, out = query.contiguous(), query.new_empty(rows, heads * dim) if out is None else out
    assert out.is_contiguous(), out.stride()
    wide = max(16, triton.next_power_of_2(dim))
    measured = measured_tile(query.device, attention_name(wide, query.dtype, causal), 4)
    tile = attention_tile(card_of(query.device), wide, query.itemsize, causal=causal)
    tile = AttentionTile(*measured) if measured else tile
    queries, at_once, warps, stages = tile
    parts = 1 if causal else key_parts(heads, length, tile, multiprocessors(query.device))
    sums, tops, totals = (out,) * 3
    if parts > 1:
        sums = out.new_empty(parts, rows, heads * dim, dtype=torch.float32)
        tops, totals = torch.empty(2, parts, rows, heads, dtype=torch.float32, device=query.device)
    grid = (triton.cdiv(length, queries), heads, rows // length * parts)
    _attend[grid](
        query, key, value, prefixes, sums, tops, totals, rows, length, keys, step, head_step,
        heads // kv_heads, heads, window or 0, DIM=dim, WIDE=wide, QUERIES=queries, KEYS=at_once,
        CAUSAL=causal, WINDOW=window is not None, PARTS=parts,
        NUMBER=tl.float32 if INTERPRETED else TRITON_DTYPES[query.dtype],
        num_warps=warps, num_stages=stages, **chain(query.device),
    )  # fmt: skip
    if parts > 1:
        _merge[(rows,)](
            sums, tops, totals, out, rows, heads, DIM=dim, WIDE=wide,
            HEADS=triton.next_power_of_2(heads), PARTS=parts, num_warps=8,
            **chain(query.device),
        )  # fmt: skip
    return out


@triton.jit
def _meet(acc, total, top, queries, keys, values, seen, inside, narrow, NUMBER: tl.constexpr):
    """Add one block of keys to the sums.

    keys, values: addresses [WIDE, KEYS] and [KEYS, WIDE]. seen: which keys each query sees.
    inside, narrow: which keys and which columns exist.
    """
    key = tl.load(keys, mask=inside[None, :] & narrow[:, None], other=0).to(NUMBER)
    scores = tl.where(seen, tl.dot(queries, key, input_precision="ieee"), float("-inf"))
    new = tl.maximum(top, tl.max(scores, 1))
    mass = tl.exp(scores - new[:, None])
    shrink = tl.exp(top - new)
    value = tl.load(values, mask=inside[:, None] & narrow[None, :], other=0)
    acc = tl.dot(
        mass.to(value.dtype).to(NUMBER),
        value.to(NUMBER),
        acc * shrink[:, None],
        input_precision="ieee",
    )
    return acc, total * shrink + tl.sum(mass, 1), new


# Lengths are not specialized: each new kind of one would be compiled within a request.
@triton.jit(do_not_specialize=["rows", "length", "count"])
def _attend(
    query, key, value, prefixes, out, tops, totals, rows, length, count,
    step, head_step, group, heads, window,
    DIM: tl.constexpr, WIDE: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr,
    CAUSAL: tl.constexpr, WINDOW: tl.constexpr, PARTS: tl.constexpr, NUMBER: tl.constexpr,
    CHAINED: tl.constexpr,
):  # fmt: skip
    await_last(CHAINED)
    row, head = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES), tl.program_id(1)
    member, part = tl.program_id(2) // PARTS, tl.program_id(2) % PARTS
    column, number = tl.arange(0, WIDE), tl.arange(0, KEYS)
    there = (row < length)[:, None] & (column < DIM)[None, :]
    first = (member * length).to(tl.int64)
    own = (first + row)[:, None] * (heads * DIM) + head * DIM + column[None, :]
    queries = tl.load(query + own, mask=there, other=0).to(NUMBER)
    acc, total = tl.zeros((QUERIES, WIDE), tl.float32), tl.zeros((QUERIES,), tl.float32)
    top = tl.full((QUERIES,), -1e30, tl.float32)
    narrow = column < DIM
    dtype: tl.constexpr = key.dtype.element_ty
    if not CAUSAL:
        prefix = prefixes + member * 4
        keys, values = (
            tl.load(prefix).to(tl.pointer_type(dtype)),
            tl.load(prefix + 1).to(tl.pointer_type(dtype)),
        )
        step_behind = tl.load(prefix + 2)
        if DIM % 8 == 0:
            keys, values = tl.multiple_of(keys, 16), tl.multiple_of(values, 16)
            step_behind = tl.multiple_of(step_behind, 8)
        behind = head // group * step_behind + column
        keys += behind
        values += behind
        known = tl.load(prefix + 3).to(tl.int32)
        lower, upper = 0, known + count
        if PARTS > 1:  # a share of all keys: the prefix's, then the canvas's own
            share = (known + count + PARTS * KEYS - 1) // (PARTS * KEYS) * KEYS
            lower = part * share
            upper = tl.minimum(lower + share, known + count)
        last = tl.minimum(upper, known)
        for begin in range(lower, last, KEYS):
            inside = begin + number < last
            far = (begin + number).to(tl.int64) * DIM
            acc, total, top = _meet(
                acc, total, top, queries, keys[:, None] + far[None, :],
                values[None, :] + far[:, None], inside[None, :], inside, narrow, NUMBER,
            )  # fmt: skip
    here = (head // group).to(tl.int64) * head_step + column
    begin, end = 0, count
    if not CAUSAL:
        begin, end = tl.maximum(lower - known, 0), upper - known
    if CAUSAL:
        end = tl.minimum(count, count - length + tl.program_id(0) * QUERIES + QUERIES)
        if WINDOW:
            begin = (
                tl.maximum(0, count - length + tl.program_id(0) * QUERIES - window + 1)
                // KEYS
                * KEYS
            )
    position = count - length + row
    for start in range(begin, end, KEYS):
        at = start + number
        inside = at < (count if CAUSAL else end)
        seen = inside[None, :] & (row < length)[:, None]
        if CAUSAL:
            seen = seen & (at[None, :] <= position[:, None])
            if WINDOW:
                seen = seen & (at[None, :] > position[:, None] - window)
        far = (first + at) * step
        acc, total, top = _meet(
            acc, total, top, queries, key + here[:, None] + far[None, :],
            value + here[None, :] + far[:, None], seen, inside, narrow, NUMBER,
        )  # fmt: skip
    release_next(CHAINED)
    if PARTS > 1:
        line = part.to(tl.int64) * rows + first + row
        tl.store(out + part.to(tl.int64) * rows * (heads * DIM) + own, acc, mask=there)
        tl.store(tops + line * heads + head, top, mask=row < length)
        tl.store(totals + line * heads + head, total, mask=row < length)
    else:
        acc /= tl.maximum(total, 1e-30)[:, None]
        tl.store(out + own, acc.to(out.dtype.element_ty), mask=there)


@triton.jit(do_not_specialize=["rows"])
def _merge(
    sums, tops, totals, out, rows, heads,
    DIM: tl.constexpr, WIDE: tl.constexpr, HEADS: tl.constexpr, PARTS: tl.constexpr,
    CHAINED: tl.constexpr,
):  # fmt: skip
    """Add the sums of the parts of one query's keys, for all heads, in the order of the parts."""
    await_last(CHAINED)
    row, head, column = tl.program_id(0).to(tl.int64), tl.arange(0, HEADS), tl.arange(0, WIDE)
    real = head < heads
    inside = real[:, None] & (column < DIM)[None, :]
    top = tl.full((HEADS,), -1e30, tl.float32)
    for part in tl.static_range(PARTS):
        line = (part * rows + row) * heads
        top = tl.maximum(top, tl.load(tops + line + head, mask=real, other=-1e30))
    acc, total = tl.zeros((HEADS, WIDE), tl.float32), tl.zeros((HEADS,), tl.float32)
    at = head[:, None] * DIM + column[None, :]
    for part in tl.static_range(PARTS):
        line = (part * rows + row) * heads
        shrink = tl.exp(tl.load(tops + line + head, mask=real, other=-1e30) - top)
        total += shrink * tl.load(totals + line + head, mask=real, other=0)
        one = tl.load(sums + line * DIM + at, mask=inside, other=0)
        acc += one * shrink[:, None]
    release_next(CHAINED)
    acc /= tl.maximum(total, 1e-30)[:, None]
    tl.store(out + row * (heads * DIM) + at, acc.to(out.dtype.element_ty), mask=inside)
