"""Grouped-query attention with scale 1 and a float32 softmax."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from redraft.ops.linear import onednn_product, suits_mkl, suits_onednn
from redraft.ops.triton import uses_kernels

# The number of scores that exist at a time: longer products run in blocks of queries. On a CPU a
# block should stay in the cache.
MAX_SCORES = 1 << 26
MAX_SCORES_CPU = 1 << 21
MIN_QUERIES = 32
# Where a prefix lies in memory: the addresses of its keys and of its values, the number of elements
# from head to head, the number of tokens.
PrefixLocation = tuple[int, int, int, int]


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return softmax(Q K^T) V, where each key-value head serves a group of query heads.

    Args:
        query: [..., L, heads, D].
        key, value: [..., kv_heads, T, D]; heads is a multiple of kv_heads.
        mask: one of
            bool [..., L, M]: True where a query may look, for the last M of T keys (all queries may
            look at the keys before);
            [..., L, T] in the query's dtype: added to the scores (this compiles to faster code);
            None: every query may look at every key.

    Returns:
        [..., L, heads * D], in the query's dtype.
    """
    *lead, length, heads, dim = query.shape
    block = _block_queries(heads, key.shape[-2], query.device)
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
    # On a CPU the softmax of bfloat16 scores is computed in float32 and rounded once, row by row.
    wide = None if scores.device.type == "cpu" else torch.float32
    weights = scores.softmax(dim=-1, dtype=wide).to(query.dtype).flatten(-3, -2)
    mixed = _product(weights, value.transpose(-1, -2)).reshape(*lead, heads, length, dim)
    joined: Tensor = mixed.transpose(-2, -3).reshape(*lead, length, heads * dim)
    return joined


def causal_attention(
    query: Tensor, key: Tensor, value: Tensor, window: int | None, out: Tensor | None = None
) -> Tensor:
    """Return `attention` of the last L of T tokens, each over itself and the tokens before it.

    It runs in blocks of queries, each against the keys that it can see at all. That halves the work
    for a prompt, and leaves a strip of it where there is a window.

    Args:
        query: [L, heads, D].
        key, value: [kv_heads, T, D].
        window: the number of keys that a query sees, the last ones; None for all.
        out: the result is written here and returned; None for a new tensor.

    Returns:
        [L, heads * D].
    """
    if uses_kernels(query):
        from redraft.ops.triton.attention import causal_attention as in_kernel

        return in_kernel(query, key, value, window, out)
    length, heads, _ = query.shape
    total = key.shape[-2]
    block = _block_queries(heads, total, query.device)
    if window is not None:
        # A block of `widest` queries sees twice as many keys.
        widest = max(window, MIN_QUERIES)
        seen = min(total, window + widest)
        block = max(block, min(widest, _block_queries(heads, seen, query.device)))
    parts = []
    for first in range(0, length, block):
        last = min(first + block, length)
        end = total - length + last  # keys that the block's last query sees
        start = 0 if window is None else max(0, end - (last - first) - window + 1)
        # The keys that not every query of the block sees.
        nearest = last - first if window is None else end - start
        mask = causal_mask(last - first, nearest, window, query.device)
        parts.append(attention(query[first:last], key[:, start:end], value[:, start:end], mask))
    mixed = parts[0] if len(parts) == 1 else torch.cat(parts)
    return mixed if out is None else out.copy_(mixed)


def image_attention(
    query: Tensor, key: Tensor, value: Tensor, window: int, images: Sequence[tuple[int, int]]
) -> Tensor:
    """Return `attention` of the last L of T tokens in a sliding layer, with images among them.

    Query q sees key k if k > q - window, and k <= q or both are of one image. There is no limit
    ahead: an image wider than the window sees all that follows in it, as in transformers' Gemma 4.

    Args:
        query: [L, heads, D].
        key, value: [kv_heads, T, D].
        window: the number of keys that a query sees up to itself.
        images: where each image begins and ends among the L tokens.

    Returns:
        [L, heads * D].
    """
    length, heads, _ = query.shape
    before = key.shape[-2] - length
    own = torch.arange(before, before + length, device=query.device)
    last = own.clone()  # the last key that each query sees
    for start, stop in images:
        last[start:stop] = before + stop - 1
    block = _block_queries(heads, key.shape[-2], query.device)
    parts = []
    for first in range(0, length, block):
        here = slice(first, first + block)
        begin = max(0, before + first - window + 1)
        end = int(last[here].max()) + 1
        keys = torch.arange(begin, end, device=query.device)
        seen = (keys <= last[here, None]) & (keys > own[here, None] - window)
        parts.append(attention(query[here], key[:, begin:end], value[:, begin:end], seen))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def causal_mask(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor | None:
    """Return which of the last `keys` tokens each of the last `queries` tokens sees.

    A token sees itself and those before it, at most `window` in all.

    Returns:
        bool [queries, keys], or None where every query sees every key.
    """
    if queries == 1 and (window is None or keys <= window):
        return None
    query = torch.arange(keys - queries, keys, device=device)[:, None]
    key = torch.arange(keys, device=device)[None, :]
    seen = key <= query
    return seen if window is None else seen & (key > query - window)


def _block_queries(heads: int, keys: int, device: torch.device) -> int:
    """Return the number of queries in a block."""
    limit = MAX_SCORES_CPU if device.type == "cpu" else MAX_SCORES
    return max(MIN_QUERIES, limit // (heads * keys))


def _product(x: Tensor, y: Tensor) -> Tensor:
    """Return x y^T of x [..., N, K] and y [..., M, K].

    On a CPU this is one product for each head: float32 has a faster way for each, and a part of a
    cache, which a batched product would copy, is read where it lies. Small products whose bits are
    the same in a batch are one.
    """
    if (
        x.ndim != 3
        or x.device.type != "cpu"
        or torch.is_grad_enabled()
        or torch.compiler.is_compiling()
    ):
        return x @ y.transpose(-1, -2)
    if suits_onednn(x, y):
        if suits_mkl(x, y):
            return x @ y.transpose(-1, -2)
        # Asked once for all heads: a batch of rows comes here some hundred times in a step.
        return torch.stack([onednn_product(one, other) for one, other in zip(x, y, strict=True)])
    product = x.new_empty(len(x), x.shape[1], y.shape[1])
    for head, (one, other) in enumerate(zip(x, y, strict=True)):
        torch.mm(one, other.T, out=product[head])
    return product
