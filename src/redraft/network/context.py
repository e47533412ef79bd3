"""What each token of a pass sees, and which reading of the weights it gets.

A pass runs over tokens of several sequences laid end to end. A Segment is one sequence's part of
it: clean tokens, read causally and written to its cache (encoder), or a canvas, read both ways
behind its cache (decoder).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from redraft.config import LayerConfig, ModelConfig
from redraft.network.cache import Cache
from redraft.ops.attention import attention, causal_attention
from redraft.ops.rope import inverse_frequencies, rotary_table
from redraft.ops.triton import uses_kernels

PREFILL_CHUNK = 2048  # clean tokens that a pass encodes at most, unless told otherwise
# A text is read in blocks that begin at multiples of this, however passes are cut: so what a block
# becomes depends on nothing # but the tokens up to its end, and can be kept for other texts that
# begin alike.
READ_BLOCK = 256


class Context(Protocol):
    """What a layer needs to know beside its hidden states."""

    @property
    def dense_experts(self) -> bool:
        """True if every expert is to run on every token; false if only the chosen ones."""
        ...

    def rotary(self, layer: LayerConfig) -> tuple[Tensor, Tensor]:
        """Cosines and sines [..., head_dim] for this layer's kind."""
        ...

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Mix values: query [M, heads, D] of the last M tokens, key and value [N, kv_heads, D] of
        all, to [M, heads * D]."""
        ...

    def layer_scalar(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        """The scalar, or one a token, that multiplies the layer's output."""
        ...


@dataclass(frozen=True)
class Clean:
    """Tokens to encode: one int64 [n] a sequence, n >= 1, and the caches that they go to."""

    tokens: Sequence[Tensor]
    caches: Sequence[Cache]


@dataclass(frozen=True)
class Segment:
    """Tokens [start, stop) of a pass, belonging to one sequence, the first of them at `position` in
    it; `clean` tokens are encoded, others are a canvas. `kept` ones stay in the cache."""

    start: int
    stop: int
    cache: Cache
    clean: bool
    position: int
    kept: bool

    @property
    def length(self) -> int:
        return self.stop - self.start


def end_to_end(
    lengths: Sequence[int],
    caches: Sequence[Cache],
    *,
    clean: bool,
    keep: bool = True,
    after: Sequence[Segment] = (),
) -> list[Segment]:
    """Segments of the given lengths, one behind the other, behind those `after` which they come;
    clean ones are kept where `keep`, and cut into blocks."""
    ends = {id(segment.cache): segment.position + segment.length for segment in after}
    segments, start = [], after[-1].stop if after else 0
    for length, cache in zip(lengths, caches, strict=True):
        position = ends.get(id(cache), cache.length)
        for part in _blocks(position, length) if clean and keep else [length]:
            segments.append(Segment(start, start + part, cache, clean, position, clean and keep))
            start, position = start + part, position + part
    return segments


def _blocks(position: int, length: int) -> list[int]:
    """Lengths of the blocks of a part of a text. What is no longer than a block, such as a commit,
    stays whole."""
    if length <= READ_BLOCK:
        return [length]
    cuts = range(position - position % READ_BLOCK + READ_BLOCK, position + length, READ_BLOCK)
    edges = [position, *cuts, position + length]
    return [end - begin for begin, end in pairwise(edges)]


def rotary_tables(
    config: ModelConfig, positions: Tensor, dtype: torch.dtype
) -> dict[str, tuple[Tensor, Tensor]]:
    """Cosines and sines [..., head_dim] of integer positions [...], for each kind of layer."""
    return {
        layer.kind: rotary_table(
            positions, inverse_frequencies(layer.rope, layer.head_dim, positions.device), dtype
        )
        for layer in dict.fromkeys(config.layers)
    }


class CachedContext:
    """The context of inference: segments over caches. Canvases, all of one length, come last.

    Args:
        size: tokens in the pass; those outside every segment are padding and get zeros from
            attention.
    """

    dense_experts = False

    def __init__(
        self, config: ModelConfig, segments: Sequence[Segment], size: int, like: Tensor
    ) -> None:
        self.config = config
        self.size = size
        self.dtype = like.dtype
        self.in_kernels = uses_kernels(like)
        self.clean = [segment for segment in segments if segment.clean]
        self.canvases = [segment for segment in segments if not segment.clean]
        self._positions = _positions(segments, size).to(like.device)
        self._places = self._lay_out(self.canvases).to(like.device) if self.in_kernels else None
        self._is_clean = torch.zeros(size, 1, dtype=torch.bool, device=like.device)
        for segment in self.clean:
            self._is_clean[segment.start : segment.stop] = True
        self._tables: dict[str, tuple[Tensor, Tensor]] = {}

    def begin(self) -> None:
        """Work out what depends on positions."""
        self._tables = rotary_tables(self.config, self._positions, self.dtype)

    def move_to(self, canvases: Sequence[Segment]) -> None:
        """Other canvases in the places of these, for kernels that look up where their prefixes
        are."""
        assert self._places is not None
        self._positions.copy_(_positions(canvases, self.size))
        self._places.copy_(self._lay_out(canvases))

    def let_go(self) -> None:
        """Of the caches: what was launched about them knows all that it needs, or is told by
        `move_to`."""
        self.canvases = []

    def _lay_out(self, canvases: Sequence[Segment]) -> Tensor:
        """int64 [layers, canvases, 4], the place of each prefix."""
        layers = range(self.config.num_hidden_layers)
        each = [
            [
                canvas.cache.place(layer, canvas.position - canvas.cache.length)
                for canvas in canvases
            ]
            for layer in layers
        ]
        return torch.tensor(each, dtype=torch.int64)

    def rotary(self, layer: LayerConfig) -> tuple[Tensor, Tensor]:
        return self._tables[layer.kind]

    def layer_scalar(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        return (
            torch.where(self._is_clean, encoder, decoder)
            if self.clean
            else decoder.expand(self.size, 1)
        )

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        first = self.size - len(query)
        if self.in_kernels and not self.clean and self.canvases[-1].stop == self.size:
            return self._attend_to_canvases(index, query, key, value, first)
        mixed = query.new_zeros(len(query), query.shape[-2] * query.shape[-1])
        for segment in self.clean:
            keys, values = self._seen(index, segment, key, value)
            if segment.stop > first:  # else its states are not read: it only leaves keys and values
                here = slice(max(0, segment.start - first), segment.stop - first)
                mixed[here] = causal_attention(
                    query[here], keys, values, self.config.layers[index].sliding_window
                )
        if self.canvases and self.in_kernels:
            here = slice(self.canvases[0].start - first, self.canvases[-1].stop - first)
            mixed[here] = self._attend_to_canvases(index, query, key, value, first)
            return mixed
        for segment in self.canvases:
            keys, values = self._seen(index, segment, key, value)
            here = slice(segment.start - first, segment.stop - first)
            mixed[here] = attention(query[here], keys, values)
        return mixed

    def _attend_to_canvases(
        self, index: int, query: Tensor, key: Tensor, value: Tensor, first: int
    ) -> Tensor:
        from redraft.ops.triton.attention import canvas_attention

        assert self._places is not None
        start, stop, length = (
            self.canvases[0].start,
            self.canvases[-1].stop,
            self.canvases[0].length,
        )
        return canvas_attention(
            query[start - first : stop - first],
            key[start:stop],
            value[start:stop],
            self._places[index],
            length,
        )

    def _seen(
        self, index: int, segment: Segment, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Keys and values that a segment sees: as much of the prefix as the cache kept, and its own
        of the pass's."""
        own_key, own_value = (
            part[segment.start : segment.stop].transpose(0, 1) for part in (key, value)
        )
        see = segment.cache.write if segment.kept else segment.cache.peek
        return see(index, own_key, own_value)


def _positions(segments: Sequence[Segment], size: int) -> Tensor:
    """Where each token of a pass stands in its sequence, int64 [size]."""
    positions = torch.zeros(size, dtype=torch.int64)
    for segment in segments:
        positions[segment.start : segment.stop] = torch.arange(
            segment.position, segment.position + segment.length
        )
    return positions
