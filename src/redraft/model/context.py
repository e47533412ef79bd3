"""What each token of a pass sees, and which reading of the weights it gets.

A pass runs over tokens of several sequences laid end to end. A Segment is one sequence's part of it: clean tokens, read
causally and written to its cache (encoder), or a canvas, read both ways behind its cache (decoder).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from redraft.config import LayerConfig, ModelConfig
from redraft.model.cache import Cache
from redraft.ops.attention import attention
from redraft.ops.rope import inverse_frequencies, rotary_table


class Context(Protocol):
    """What a layer needs to know beside its hidden states."""

    def rotary(self, layer: LayerConfig) -> tuple[Tensor, Tensor]:
        """Cosines and sines [..., head_dim] for this layer's kind."""
        ...

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Mix values: query [..., heads, D], key and value [..., kv_heads, D] to [..., heads * D]."""
        ...

    def layer_scalar(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        """The scalar, or one a token, that multiplies the layer's output."""
        ...


@dataclass(frozen=True)
class Segment:
    """Tokens [start, stop) of a pass, belonging to one sequence; `clean` tokens are encoded, others are a canvas."""

    start: int
    stop: int
    cache: Cache
    clean: bool

    @property
    def length(self) -> int:
        return self.stop - self.start


def end_to_end(lengths: Sequence[int], caches: Sequence[Cache], *, clean: bool) -> list[Segment]:
    """Segments of the given lengths, one behind the other."""
    segments, start = [], 0
    for length, cache in zip(lengths, caches, strict=True):
        segments.append(Segment(start, start + length, cache, clean))
        start += length
    return segments


def causal_mask(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor | None:
    """Which of the last `keys` tokens each of the last `queries` tokens sees: those not after it, at most `window` of them.

    Returns bool [queries, keys], or None where every query sees every key.
    """
    if queries == 1 and (window is None or keys <= window):
        return None
    query = torch.arange(keys - queries, keys, device=device)[:, None]
    key = torch.arange(keys, device=device)[None, :]
    seen = key <= query
    return seen if window is None else seen & (key > query - window)


def rotary_tables(config: ModelConfig, positions: Tensor, dtype: torch.dtype) -> dict[str, tuple[Tensor, Tensor]]:
    """Cosines and sines [..., head_dim] of integer positions [...], for each kind of layer."""
    return {
        layer.kind: rotary_table(positions, inverse_frequencies(layer.rope, layer.head_dim).to(positions.device), dtype)
        for layer in dict.fromkeys(config.layers)
    }


class CachedContext:
    """The context of inference: segments over caches.

    Args:
        size: tokens in the pass; those outside every segment are padding and get zeros from attention.
    """

    def __init__(self, config: ModelConfig, segments: Sequence[Segment], size: int, like: Tensor) -> None:
        self.config = config
        self.segments = segments
        self.size = size
        positions = torch.zeros(size, dtype=torch.int64, device=like.device)
        self.clean = torch.zeros(size, 1, dtype=torch.bool, device=like.device)
        for segment in segments:
            here = slice(segment.start, segment.stop)
            first = segment.cache.length
            positions[here] = torch.arange(first, first + segment.length, device=like.device)
            self.clean[here] = segment.clean
        self._tables = rotary_tables(config, positions, like.dtype)

    def rotary(self, layer: LayerConfig) -> tuple[Tensor, Tensor]:
        return self._tables[layer.kind]

    def layer_scalar(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        return torch.where(self.clean, encoder, decoder)

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mixed = query.new_zeros(self.size, query.shape[-2] * query.shape[-1])
        window = self.config.layers[index].sliding_window
        for segment in self.segments:
            here = slice(segment.start, segment.stop)
            own = key[here].transpose(0, 1), value[here].transpose(0, 1)
            if segment.clean:
                keys, values = segment.cache.write(index, *own)
                mask = causal_mask(segment.length, keys.shape[1], window, query.device)
            else:
                # Every position of a canvas sees the same prefix, as much of it as the cache kept, and the whole canvas.
                keys, values = segment.cache.peek(index, *own)
                mask = None
            mixed[here] = attention(query[here], keys, values, mask)
        return mixed
