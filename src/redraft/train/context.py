"""The two readings of training: clean tokens causally, canvases both ways behind what the first
reading left.

    prefix   (encoder)  sees the prefix before it
    canvas   (decoder)  sees the prefix, as much of it as a cache would keep, and the whole canvas
    answer   (encoder)  sees the prefix and the answer before it: what the canvas becomes, read as a
    typewriter would

A prefix is read once and serves every canvas drawn for it. Layers run through `layer_pass`, one
function without any index, so that it can be compiled once for all layers of a kind.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from redraft.network import DiffusionGemma
from redraft.network.context import rotary_tables
from redraft.network.layers import Layer
from redraft.ops.attention import attention

KeyValue = tuple[Tensor, Tensor]  # [B, T, kv_heads, D] each
Past = Sequence[KeyValue]  # one a layer
UNSEEN = -1e30  # added to a score that must not count


def layer_pass(
    layer: Layer,
    x: Tensor,
    table: tuple[Tensor, Tensor],
    mask: Tensor,
    past: KeyValue | None,
    scalar: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """One layer over x [B, T, H] behind `past`; returns its output, and the keys and values of x
    alone."""
    own = layer.self_attn
    query, key, value = own.project(layer.input_layernorm(x), table)
    query, key = query.to(value.dtype), key.to(value.dtype)
    keys = key if past is None else torch.cat((past[0], key), dim=1)
    values = value if past is None else torch.cat((past[1], value), dim=1)
    mixed = attention(query, keys.transpose(-2, -3), values.transpose(-2, -3), mask)
    x = x + layer.post_attention_layernorm(own.o_proj(mixed))
    return layer.feed_forward(x) * scalar, key, value


def read_clean(
    model: DiffusionGemma, tokens: Tensor, past: Past | None = None, lengths: Tensor | None = None
) -> tuple[Tensor, Past]:
    """Encode tokens [B, T] causally, behind `past`, of which `lengths` [B] tokens count; states [B,
    T, H] and their cache."""
    rows, count = tokens.shape
    device = tokens.device
    here = torch.arange(count, device=device)
    start = torch.zeros(rows, dtype=torch.int64, device=device) if lengths is None else lengths
    positions = start[:, None] + here
    masks = {}
    for layer in dict.fromkeys(model.config.layers):
        window = layer.sliding_window or count + int(start.max())
        mask = _within(positions, positions, window)
        if past is not None:
            mask = torch.cat((_behind(past, start, positions, window), mask), dim=-1)
        masks[layer.kind] = mask
    return _run(model, model.embed(tokens), positions, masks, past, clean=True)


def read_canvas(model: DiffusionGemma, embeddings: Tensor, past: Past, lengths: Tensor) -> Tensor:
    """States [B, L, H] of joined canvas embeddings behind the first `lengths` [B] tokens of
    `past`."""
    length = embeddings.shape[1]
    device = embeddings.device
    positions = lengths[:, None] + torch.arange(length, device=device)
    open_canvas = torch.ones(len(embeddings), 1, length, dtype=torch.bool, device=device)
    held = torch.arange(past[0][0].shape[1], device=device)[None, None]
    masks = {}
    for layer in dict.fromkeys(model.config.layers):
        # A cache keeps the last window - 1 tokens of the prefix, the same for every position of the
        # canvas.
        kept = held < lengths[:, None, None]
        if layer.sliding_window:
            kept = kept & (held > (lengths - layer.sliding_window)[:, None, None])
        masks[layer.kind] = torch.cat(
            (kept, open_canvas), dim=-1
        )  # [B, 1, T]: the same for every position
    return _run(model, embeddings, positions, masks, past, clean=False)[0]


def repeated(past: Past, times: int) -> Past:
    """The same cache for `times` canvases of every row, all rows once, then all again."""
    return [(key.repeat(times, 1, 1, 1), value.repeat(times, 1, 1, 1)) for key, value in past]


def first_rows(past: Past, count: int) -> Past:
    """The cache of the first rows, cut off from the gradient."""
    return [(key[:count].detach(), value[:count].detach()) for key, value in past]


def _run(
    model: DiffusionGemma,
    x: Tensor,
    positions: Tensor,
    masks: dict[str, Tensor],
    past: Past | None,
    *,
    clean: bool,
) -> tuple[Tensor, Past]:
    if torch.is_autocast_enabled("cpu"):
        x = x.to(torch.get_autocast_dtype("cpu"))
    tables = rotary_tables(model.config, positions, x.dtype)
    added = {
        kind: torch.zeros(mask.shape, dtype=x.dtype).masked_fill(~mask, UNSEEN)
        for kind, mask in masks.items()
    }
    cache = []
    for index, layer in enumerate(model.layers):
        assert isinstance(layer, Layer)
        kind = model.config.layers[index].kind
        scalar = layer.encoder_layer_scalar if clean else layer.layer_scalar
        x, key, value = layer_pass(
            layer, x, tables[kind], added[kind], past[index] if past else None, scalar.to(x.dtype)
        )
        cache.append((key, value))
    states: Tensor = model.norm(x)
    return states, cache


def _within(query: Tensor, key: Tensor, window: int) -> Tensor:
    """Causal, at most `window` back: bool [B, T, T] of positions [B, T]."""
    back = query[:, :, None] - key[:, None, :]
    return (back >= 0) & (back < window)


def _behind(past: Past, start: Tensor, positions: Tensor, window: int) -> Tensor:
    """Which tokens of a padded cache each position sees: bool [B, T, P]."""
    held = torch.arange(past[0][0].shape[1], device=start.device)
    return (held < start[:, None])[:, None] & _within(
        positions, held.expand(len(start), -1), window
    )
