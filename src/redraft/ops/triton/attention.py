"""Attention without scores in memory, as in FlashAttention (arXiv 2205.14135): keys in blocks, sums
relative to the greatest score so far.

A canvas sees a prefix, whose keys and values lie in a cache, and itself, whose keys and values are
tensors of the pass. The kernel reads from memory where the prefixes are and how long they are. So
one captured launch serves other prefixes.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.triton.launch import on_its_device
from redraft.ops.triton.measured_tiles import attention_name, measured_tile
from redraft.ops.triton.numbers import INTERPRETED, TRITON_DTYPES
from redraft.ops.triton.tiles import attention_tile


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
    memory = 1 << 16 if INTERPRETED else _shared_memory(query.device)
    measured = measured_tile(query.device, attention_name(wide, query.dtype, causal), 4)
    queries, at_once, warps, stages = measured or attention_tile(
        wide, query.itemsize, memory, causal
    )
    grid = (triton.cdiv(length, queries), heads, rows // length)
    _attend[grid](
        query, key, value, prefixes, out, length, keys, step, head_step, heads // kv_heads, heads,
        window or 0, DIM=dim, WIDE=wide, QUERIES=queries, KEYS=at_once, CAUSAL=causal,
        WINDOW=window is not None, NUMBER=tl.float32 if INTERPRETED else TRITON_DTYPES[query.dtype],
        num_warps=warps, num_stages=stages,
    )  # fmt: skip
    return out


def _shared_memory(device: torch.device) -> int:
    properties = torch.cuda.get_device_properties(device)
    return int(properties.shared_memory_per_block_optin)  # type: ignore[attr-defined]


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
@triton.jit(do_not_specialize=["length", "count"])
def _attend(
    query, key, value, prefixes, out, length, count, step, head_step, group, heads, window,
    DIM: tl.constexpr, WIDE: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr,
    CAUSAL: tl.constexpr, WINDOW: tl.constexpr, NUMBER: tl.constexpr,
):  # fmt: skip
    row, head, member = (
        tl.program_id(0) * QUERIES + tl.arange(0, QUERIES),
        tl.program_id(1),
        tl.program_id(2),
    )
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
        for begin in range(0, known, KEYS):
            inside = begin + number < known
            far = (begin + number).to(tl.int64) * DIM
            acc, total, top = _meet(
                acc, total, top, queries, keys[:, None] + far[None, :],
                values[None, :] + far[:, None], inside[None, :], inside, narrow, NUMBER,
            )  # fmt: skip
    here = (head // group).to(tl.int64) * head_step + column
    begin, end = 0, count
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
        inside = at < count
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
    tl.store(
        out + own, (acc / tl.maximum(total, 1e-30)[:, None]).to(out.dtype.element_ty), mask=there
    )
