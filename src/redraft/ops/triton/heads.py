"""Queries, keys and values between their product and attention, in one launch."""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from redraft.ops.triton.chained import await_last, release_next
from redraft.ops.triton.launch import chain, on_its_device

# Numbers in a half of a token's queries up to which a program has 4 warps: 32 a thread, twice.
FOUR_WARPS = 2048


class Heads(NamedTuple):
    """Queries [M, heads, D], keys and values [N, kv_heads, D]."""

    query: Tensor
    key: Tensor
    value: Tensor


@on_its_device
def norm_and_rotate(
    products: tuple[Tensor, Tensor, Tensor],
    table: tuple[Tensor, Tensor],
    query_weight: Tensor,
    key_weight: Tensor,
    eps: float,
    places: tuple[Tensor, Tensor] | None = None,
) -> Heads:
    """Norm each head, then rotate queries and keys; values are normed without a weight.

    Args:
        products: of the last M tokens with the queries' matrix, [M, heads * D], and of all N with
            those of keys and values, [N, kv_heads * D]; parts of one product do as they are. The
            two may be one tensor.
        table: cosines and sines [N, D].
        query_weight, key_weight: [D].
        places: where keys and values are written too: the owner of each token, int32 [N], -1 for
            none, and of each owner int64 [4]: two addresses (0 for none), the number of elements
            from head to head, the first token. None for nowhere.
    """
    query, key, value = products
    tokens, dim = table[0].shape
    heads, kv_heads = query.shape[1] // dim, key.shape[1] // dim
    made = Heads(
        query.new_empty(len(query), heads, dim),
        key.new_empty(tokens, kv_heads, dim),
        key.new_empty(tokens, kv_heads, dim),
    )
    cos, sin = (part.contiguous() for part in table)
    wide = triton.next_power_of_2(dim // 2)
    _heads[(tokens, 3)](
        query, key, value, cos, sin, query_weight, key_weight, *made, tokens - len(query),
        query.stride(0), key.stride(0), value.stride(0), eps, *(places or (query, query)),
        PLACED=places is not None, HALF=dim // 2, WIDE=wide, HEADS=heads, KV_HEADS=kv_heads,
        ROWS=triton.next_power_of_2(heads), KV_ROWS=triton.next_power_of_2(kv_heads),
        num_warps=4 if heads * wide <= FOUR_WARPS else 8, **chain(query.device),
    )  # fmt: skip
    return made


@triton.jit
def _unit(row, head, at, inside, eps, HALF: tl.constexpr):
    """Return both halves of each head, divided by the root of the head's mean square."""
    place = row + head[:, None] * (2 * HALF) + at[None, :]
    first = tl.load(place, mask=inside, other=0).to(tl.float32)
    second = tl.load(place + HALF, mask=inside, other=0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(first * first + second * second, 1) / (2 * HALF) + eps)[:, None]
    return first * scale, second * scale


@triton.jit
def _store(out, step, head, at, inside, first, second, HALF: tl.constexpr):
    place = out + head[:, None] * step + at[None, :]
    tl.store(place, first.to(out.dtype.element_ty), mask=inside)
    tl.store(place + HALF, second.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _store_placed(
    owners, places, which, token, head, at, inside, first, second,
    DTYPE: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    """Write keys (which: 0) or values (1) of a token to the cache of its owner."""
    owner = tl.load(owners + token)
    if owner >= 0:
        place = places + owner * 4
        address = tl.load(place + which)
        if address != 0:
            out = address.to(tl.pointer_type(DTYPE)) + (token - tl.load(place + 3)) * (2 * HALF)
            _store(out, tl.load(place + 2), head, at, inside, first, second, HALF)


@triton.jit
def _halves(row, at, HALF: tl.constexpr):
    """Return both halves of what all heads share."""
    first = tl.load(row + at, mask=at < HALF, other=0).to(tl.float32)
    second = tl.load(row + HALF + at, mask=at < HALF, other=0).to(tl.float32)
    return first[None, :], second[None, :]


@triton.jit
def _turn(
    row, weight, cos, sin, head, at, inside, eps, dtype: tl.constexpr, HALF: tl.constexpr
):  # fmt: skip
    """Norm and rotate a token's heads. The norm is rounded before the rotation, as in torch."""
    first, second = _unit(row, head, at, inside, eps, HALF)
    one, other = _halves(weight, at, HALF)
    first, second = (
        (first * one).to(dtype).to(tl.float32),
        (second * other).to(dtype).to(tl.float32),
    )
    near, far = _halves(cos, at, HALF)
    up, down = _halves(sin, at, HALF)
    return first * near - second * up, second * far + first * down


@triton.jit(do_not_specialize=["begin"])
def _heads(
    query, key, value, cos, sin, query_weight, key_weight, out_query, out_key, out_value,
    begin, query_stride, key_stride, value_stride, eps, owners, places, PLACED: tl.constexpr,
    HALF: tl.constexpr, WIDE: tl.constexpr, HEADS: tl.constexpr, KV_HEADS: tl.constexpr,
    ROWS: tl.constexpr, KV_ROWS: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    """All queries of one token, or all of its keys, or all of its values."""
    await_last(CHAINED)
    token, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    DIM: tl.constexpr = 2 * HALF
    dtype: tl.constexpr = out_key.dtype.element_ty
    cos += token * DIM
    sin += token * DIM
    at = tl.arange(0, WIDE)
    if part == 0:
        if token >= begin:
            own, head = token - begin, tl.arange(0, ROWS)
            inside = (head < HEADS)[:, None] & (at < HALF)[None, :]
            first, second = _turn(
                query + own * query_stride, query_weight, cos, sin, head, at, inside, eps, dtype,
                HALF,
            )  # fmt: skip
            release_next(CHAINED)
            out = out_query + own * (DIM * HEADS)
            _store(out, DIM, head, at, inside, first, second, HALF)
    else:
        head = tl.arange(0, KV_ROWS)
        inside = (head < KV_HEADS)[:, None] & (at < HALF)[None, :]
        here = token * (DIM * KV_HEADS)
        if part == 1:
            first, second = _turn(
                key + token * key_stride, key_weight, cos, sin, head, at, inside, eps, dtype, HALF
            )
            release_next(CHAINED)
            _store(out_key + here, DIM, head, at, inside, first, second, HALF)
        else:
            first, second = _unit(value + token * value_stride, head, at, inside, eps, HALF)
            release_next(CHAINED)
            _store(out_value + here, DIM, head, at, inside, first, second, HALF)
        if PLACED:
            _store_placed(
                owners, places, part - 1, token, head, at, inside, first, second, dtype, HALF
            )
