"""The context of training: whole batches through a layer, differentiable, without a cache.

    prefix   (clean)   sees the prefix before it
    canvas             sees the prefix, as much of it as a cache would keep, and the whole canvas
    answer   (clean)   sees the prefix, and the answer before it

"Clean" tokens are read causally, with the encoder's scalar of a layer; a canvas is read in both
directions. The keys and values that a layer leaves are the past of the next forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from redraft.config import LayerConfig, ModelConfig
from redraft.network.layers import Layer
from redraft.network.segments import Images
from redraft.ops.attention import attention

# Keys and values [B, T, kv_heads, D] each.
KeyValue = tuple[Tensor, Tensor]
# The keys and values of a prefix, of every layer.
Past = Sequence[KeyValue]
# Added to the score of a key that a query must not see.
MASKED_SCORE = -1e30


class TrainingContext:
    """The context of one layer over the hidden states [B, T, H] of a batch.

    It belongs to one layer and knows no index, so that layers of one kind share a compiled forward.

    Attributes:
        table: cosines and sines [B, T, head_dim].
        mask: added to the attention scores, [B, T, P + T]; [B, 1, P + T] if all tokens see alike.
        past: keys and values of the P tokens before; None if there are none.
        clean: the tokens are clean; otherwise they are a canvas.
        dense_experts: every expert runs on every token, which suits small networks.
        dtype: of the hidden states.
        key_value: what the layer's tokens leave, once its forward has run.
    """

    def __init__(
        self,
        table: tuple[Tensor, Tensor],
        mask: Tensor,
        past: KeyValue | None,
        *,
        clean: bool,
        dtype: torch.dtype,
        dense_experts: bool = True,
    ) -> None:
        self.table, self.mask, self.past = table, mask, past
        self.clean, self.dtype, self.dense_experts = clean, dtype, dense_experts
        self.key_value: KeyValue | None = None

    def rotary(self, layer: LayerConfig) -> tuple[Tensor, Tensor]:
        return self.table

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return the attention output [B, T, heads * D] of query [B, T, heads, D]."""
        # Autocast leaves normed queries and keys in float32.
        query, key = query.to(value.dtype), key.to(value.dtype)
        self.key_value = key, value
        if self.past is not None:
            key = torch.cat((self.past[0], key), dim=1)
            value = torch.cat((self.past[1], value), dim=1)
        mask = self.mask.expand(-1, query.shape[1], -1)
        return attention(query, key.transpose(-2, -3), value.transpose(-2, -3), mask)

    def key_value_places(self, index: int) -> None:
        """Return None: there is no cache."""

    def layer_scalar(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        return (encoder if self.clean else decoder).to(self.dtype)


def run_layer(
    layer: Layer,
    x: Tensor,
    table: tuple[Tensor, Tensor],
    mask: Tensor,
    past: KeyValue | None,
    clean: bool,
    dense_experts: bool = True,
) -> tuple[Tensor, KeyValue]:
    """Return a layer's output [B, T, H] for x [B, T, H], and the keys and values of x alone.

    A function of tensors, so that it can be compiled once for all layers of a kind.
    """
    context = TrainingContext(
        table, mask, past, clean=clean, dtype=x.dtype, dense_experts=dense_experts
    )
    states: Tensor = layer(x, context)
    assert context.key_value is not None
    return states, context.key_value


def clean_masks(
    config: ModelConfig, start: Tensor, count: int, held: int, images: Images = ()
) -> dict[str, Tensor]:
    """Build the mask of clean tokens by kind of layer: bool [B, T, P + T], true where visible.

    In sliding layers the soft tokens of an image see all of it.

    Args:
        start: int64 [B], the tokens of each row's prefix; the first clean token has this position.
        count: T, the number of clean tokens.
        held: P, the length to which prefixes are padded.
        images: of each row, by the clean tokens; empty where none has any.
    """
    positions = start[:, None] + torch.arange(count, device=start.device)
    last = positions.clone()  # the last key that each query sees in a sliding layer
    for row, spans in enumerate(images):
        for one in spans:
            last[row, one.start : one.stop] = positions[row, one.stop - 1]
    prefix = torch.arange(held, device=start.device).expand(len(start), -1)
    masks = {}
    for layer in dict.fromkeys(config.layers):
        window = layer.sliding_window or count + int(start.max())
        before = (prefix < start[:, None])[:, None] & _causal(positions, prefix, window)
        ahead = last if layer.sliding_window else positions
        masks[layer.kind] = torch.cat(
            (before, _causal(positions, positions, window, ahead)), dim=-1
        )
    return masks


def canvas_masks(config: ModelConfig, lengths: Tensor, count: int, held: int) -> dict[str, Tensor]:
    """Build the mask of canvases by kind of layer: bool [B, 1, P + L], true where visible.

    A cache keeps the last window - 1 tokens of a prefix, the same for every position of the canvas.

    Args:
        lengths: int64 [B], the tokens of each row's prefix.
        count: L, the canvas length.
        held: P, the length to which prefixes are padded.
    """
    prefix = torch.arange(held, device=lengths.device)
    canvas = torch.ones(len(lengths), count, dtype=torch.bool, device=lengths.device)
    masks = {}
    for layer in dict.fromkeys(config.layers):
        kept = prefix < lengths[:, None]
        if layer.sliding_window:
            kept = kept & (prefix > (lengths - layer.sliding_window)[:, None])
        masks[layer.kind] = torch.cat((kept, canvas), dim=-1)[:, None]
    return masks


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a bool mask as numbers to add to scores: 0 where visible, MASKED_SCORE elsewhere."""
    zeros = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return zeros.masked_fill(~mask, MASKED_SCORE)


def repeated(past: Past, times: int) -> Past:
    """Return the past of `times` canvases of every row: all rows once, then all again."""
    return [(key.repeat(times, 1, 1, 1), value.repeat(times, 1, 1, 1)) for key, value in past]


def first_rows(past: Past, count: int) -> Past:
    """Return the past of the first `count` rows, without gradient."""
    return [(key[:count].detach(), value[:count].detach()) for key, value in past]


def _causal(query: Tensor, key: Tensor, window: int, last: Tensor | None = None) -> Tensor:
    """Return which keys each query sees: those not after it, at most `window` of them.

    Positions are int64 [B, T] and [B, K]; the result is bool [B, T, K].

    Args:
        last: int64 [B, T], the last key that each query sees, where it is not the query's own.
    """
    ahead = query if last is None else last
    back = query[:, :, None] - key[:, None, :]
    return (key[:, None, :] <= ahead[:, :, None]) & (back < window)
