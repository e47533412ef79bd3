"""Grouped-query attention with scale 1 and a float32 softmax."""

from __future__ import annotations

import torch
from torch import Tensor

from redraft.ops.linear import linear, suits_onednn

# Scores that exist at a time, at most: longer products run in blocks of queries.
BLOCK_ELEMENTS = 1 << 26


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(Q K^T) V, each key-value head serving a group of query heads.

    Args:
        query: [..., L, heads, D].
        key, value: [..., kv_heads, T, D]; heads is a multiple of kv_heads.
        mask: bool [..., L, T], True where a query may look, or of the query's dtype, added to the scores (which compiles to
            faster code); None where all may look at all.

    Returns:
        [..., L, heads * D], in the query's dtype.
    """
    *lead, length, heads, dim = query.shape
    block = max(1, BLOCK_ELEMENTS // (heads * key.shape[-2]))
    if length > block:
        masks = [None] * -(-length // block) if mask is None else mask.split(block, dim=-2)
        blocks = zip(query.split(block, dim=-3), masks, strict=True)
        return torch.cat([attention(part, key, value, seen) for part, seen in blocks], dim=-2)
    kv_heads = key.shape[-3]
    # The query heads of a group are stacked along the length: one product per key-value head, no repeated keys.
    group = heads // kv_heads
    grouped = query.transpose(-2, -3).reshape(*lead, kv_heads, group * length, dim)
    scores = _product(grouped, key).unflatten(-2, (group, length))  # [..., kv_heads, group, L, T]
    if mask is not None:
        mask = mask[..., None, None, :, :]
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min) if mask.dtype == torch.bool else scores + mask
    # On a CPU the softmax of bfloat16 scores is worked out in float32 and rounded once, row by row.
    weights = scores.softmax(dim=-1) if scores.device.type == "cpu" else scores.softmax(dim=-1, dtype=torch.float32)
    weights = weights.to(query.dtype).flatten(-3, -2)
    mixed = _product(weights, value.transpose(-1, -2)).reshape(*lead, heads, length, dim)
    joined: Tensor = mixed.transpose(-2, -3).reshape(*lead, length, heads * dim)
    return joined


def _product(x: Tensor, y: Tensor) -> Tensor:
    """x y^T of x [..., N, K] and y [..., M, K]: in float32 on a CPU one product a head, for which there is a faster way."""
    if x.ndim == 3 and suits_onednn(x, y):
        return torch.stack([linear(one, other) for one, other in zip(x, y, strict=True)])
    return x @ y.transpose(-1, -2)
