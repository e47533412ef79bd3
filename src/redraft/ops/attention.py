"""Grouped-query attention with scale 1 and a float32 softmax."""

from __future__ import annotations

import torch
from torch import Tensor

from redraft.ops.linear import linear, suits_onednn
from redraft.ops.triton import uses_kernels

# Scores that exist at a time, at most: longer products run in blocks of queries. On a CPU they are
# to stay in the cache.
BLOCK_ELEMENTS = {"cpu": 1 << 21}
ELSEWHERE = 1 << 26
LEAST_QUERIES = 32
Place = tuple[
    int, int, int, int
]  # of a prefix: addresses of keys and of values, numbers from head to head, tokens


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(Q K^T) V, each key-value head serving a group of query heads.

    Args:
        query: [..., L, heads, D].
        key, value: [..., kv_heads, T, D]; heads is a multiple of kv_heads.
        mask: bool [..., L, M], True where a query may look, for the last M of T keys (all may look
            at those before); or of the query's dtype, [..., L, T], added to the scores (which
            compiles to faster code); None where all may look at all.

    Returns:
        [..., L, heads * D], in the query's dtype.
    """
    *lead, length, heads, dim = query.shape
    block = _block(heads, key.shape[-2], query.device)
    if length > block:
        masks = [None] * -(-length // block) if mask is None else mask.split(block, dim=-2)
        blocks = zip(query.split(block, dim=-3), masks, strict=True)
        return torch.cat([attention(part, key, value, seen) for part, seen in blocks], dim=-2)
    kv_heads = key.shape[-3]
    # The query heads of a group are stacked along the length: one product per key-value head, no
    # repeated keys.
    group = heads // kv_heads
    grouped = query.transpose(-2, -3).reshape(*lead, kv_heads, group * length, dim)
    scores = _product(grouped, key).unflatten(-2, (group, length))  # [..., kv_heads, group, L, T]
    if mask is not None:
        mask = mask[..., None, None, :, :]
        if mask.dtype == torch.bool:
            scores[..., scores.shape[-1] - mask.shape[-1] :].masked_fill_(
                ~mask, torch.finfo(scores.dtype).min
            )
        else:
            scores = scores + mask
    # On a CPU the softmax of bfloat16 scores is worked out in float32 and rounded once, row by row.
    weights = (
        scores.softmax(dim=-1)
        if scores.device.type == "cpu"
        else scores.softmax(dim=-1, dtype=torch.float32)
    )
    weights = weights.to(query.dtype).flatten(-3, -2)
    mixed = _product(weights, value.transpose(-1, -2)).reshape(*lead, heads, length, dim)
    joined: Tensor = mixed.transpose(-2, -3).reshape(*lead, length, heads * dim)
    return joined


def causal_attention(query: Tensor, key: Tensor, value: Tensor, window: int | None) -> Tensor:
    """`attention` of the last L of T tokens, each over those not after it, the last `window` of
    them where that is given.

    In blocks of queries, each against the keys that it can see at all: half of the work for a
    prompt, and a strip of it where there is a window.

    Args:
        query: [L, heads, D]. key, value: [kv_heads, T, D].

    Returns:
        [L, heads * D].
    """
    if uses_kernels(query):
        from redraft.ops.triton.attention import causal_attention as in_kernel

        return in_kernel(query, key, value, window)
    length, heads, _ = query.shape
    total = key.shape[-2]
    block = _block(heads, total, query.device)
    if window is not None:
        widest = max(window, LEAST_QUERIES)  # a block of so many queries sees twice as many keys
        block = max(block, min(widest, _block(heads, min(total, window + widest), query.device)))
    parts = []
    for first in range(0, length, block):
        last = min(first + block, length)
        end = total - length + last  # keys that the block's last query sees
        start = 0 if window is None else max(0, end - (last - first) - window + 1)
        nearest = (
            last - first if window is None else end - start
        )  # keys that not every query of the block sees
        mask = causal_mask(last - first, nearest, window, query.device)
        parts.append(attention(query[first:last], key[:, start:end], value[:, start:end], mask))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def causal_mask(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor | None:
    """Which of the last `keys` tokens each of the last `queries` tokens sees: those not after it,
    at most `window` of them.

    Returns bool [queries, keys], or None where every query sees every key.
    """
    if queries == 1 and (window is None or keys <= window):
        return None
    query = torch.arange(keys - queries, keys, device=device)[:, None]
    key = torch.arange(keys, device=device)[None, :]
    seen = key <= query
    return seen if window is None else seen & (key > query - window)


def _block(heads: int, keys: int, device: torch.device) -> int:
    return max(LEAST_QUERIES, BLOCK_ELEMENTS.get(device.type, ELSEWHERE) // (heads * keys))


def _product(x: Tensor, y: Tensor) -> Tensor:
    """x y^T of x [..., N, K] and y [..., M, K].

    On a CPU one product a head: float32 has a faster way for each, and a part of a cache, which a
    batched product would copy, is read where it lies.
    """
    if (
        x.ndim != 3
        or x.device.type != "cpu"
        or torch.is_grad_enabled()
        or torch.compiler.is_compiling()
    ):
        return x @ y.transpose(-1, -2)
    if suits_onednn(x, y):
        return torch.stack([linear(one, other) for one, other in zip(x, y, strict=True)])
    product = x.new_empty(len(x), x.shape[1], y.shape[1])
    for head, (one, other) in enumerate(zip(x, y, strict=True)):
        torch.mm(one, other.T, out=product[head])
    return product
