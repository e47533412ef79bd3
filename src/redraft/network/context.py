"""The context that tells a layer what the tokens of a forward pass see: segments over caches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from redraft.config import LayerConfig, ModelConfig
from redraft.network.cache_places import CachePlaces
from redraft.network.segments import Segment
from redraft.ops.attention import attention, causal_attention, image_attention
from redraft.ops.rope import inverse_frequencies, rotary_table
from redraft.ops.triton import uses_kernels


class Context(Protocol):
    """Everything that a layer needs beside its hidden states."""

    @property
    def dense_experts(self) -> bool:
        """True if every expert is to run on every token; false if only the chosen ones."""
        ...

    def rotary(self, layer: LayerConfig) -> tuple[Tensor, Tensor]:
        """Return cosines and sines [..., head_dim] for this kind of layer."""
        ...

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return the attention output [M, heads * D] of the last M tokens.

        Args:
            index: the layer's index.
            query: [M, heads, D] of the last M tokens.
            key, value: [N, kv_heads, D] of all N tokens of the pass.
        """
        ...

    def layer_scalar(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        """Return the scalar, or one for each token, that multiplies the layer's output."""
        ...

    def key_value_places(self, index: int) -> tuple[Tensor, Tensor] | None:
        """Return where a kernel writes the keys and values of clean tokens; see `CachePlaces`.

        It is None where `attend` does that.
        """
        ...


def rotary_tables(
    config: ModelConfig, positions: Tensor, dtype: torch.dtype
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return cosines and sines [..., head_dim] of integer positions [...], by kind of layer."""
    return {
        layer.kind: rotary_table(
            positions, inverse_frequencies(layer.rope, layer.head_dim, positions.device), dtype
        )
        for layer in dict.fromkeys(config.layers)
    }


class CachedContext:
    """The context of inference: segments over KV caches.

    Args:
        segments: of the pass. Canvases come last and have one length.
        size: the number of tokens in the pass. Those outside every segment are padding; their
            attention output is zero.
        like: a tensor with the dtype and device of the pass.
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
        self._prefixes = self._locate(self.canvases).to(like.device) if self.in_kernels else None
        self._is_clean = torch.zeros(size, 1, dtype=torch.bool, device=like.device)
        for segment in self.clean:
            self._is_clean[segment.start : segment.stop] = True
        self._tables = rotary_tables(self.config, self._positions, self.dtype)
        self._places = CachePlaces(config, self.clean, size, like.device) if self.clean else None

    def key_value_places(self, index: int) -> tuple[Tensor, Tensor] | None:
        """Return where a kernel writes keys and values of clean tokens; see `CachePlaces`.

        Who asks writes them there: `attend` of this layer will take them as written.
        """
        return self._places.of_layer(index) if self._places and self.in_kernels else None

    def _locate(self, canvases: Sequence[Segment]) -> Tensor:
        """Return the location of each canvas's prefix, int64 [layers, canvases, 4]."""
        locations = []
        for layer in range(self.config.num_hidden_layers):
            locations.append(
                [
                    canvas.cache.prefix_location(layer, canvas.position - canvas.cache.length)
                    for canvas in canvases
                ]
            )
        return torch.tensor(locations, dtype=torch.int64)

    def rotary(self, layer: LayerConfig) -> tuple[Tensor, Tensor]:
        return self._tables[layer.kind]

    def layer_scalar(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        if not self.clean:
            return decoder.expand(self.size, 1)
        return torch.where(self._is_clean, encoder, decoder)

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        first = self.size - len(query)
        if self.in_kernels and not self.clean and self.canvases[-1].stop == self.size:
            return self._attend_to_canvases(index, query, key, value, first)
        covered = sum(segment.length for segment in (*self.clean, *self.canvases)) == self.size
        make = query.new_empty if covered else query.new_zeros
        mixed = make(len(query), query.shape[-2] * query.shape[-1])
        for segment in self.clean:
            keys, values = self._visible(index, segment, key, value)
            # The output of tokens before `first` is not read: they only leave keys and values.
            if segment.stop > first:
                here = slice(max(0, segment.start - first), segment.stop - first)
                window = self.config.layers[index].sliding_window
                if segment.images and window is not None:
                    assert segment.start >= first  # only the last layer, a full one, leaves out
                    mixed[here] = image_attention(query[here], keys, values, window, segment.images)
                else:
                    causal_attention(query[here], keys, values, window, out=mixed[here])
        if self.canvases and self.in_kernels:
            here = slice(self.canvases[0].start - first, self.canvases[-1].stop - first)
            self._attend_to_canvases(index, query, key, value, first, mixed[here])
            return mixed
        for segment in self.canvases:
            keys, values = self._visible(index, segment, key, value)
            here = slice(segment.start - first, segment.stop - first)
            mixed[here] = attention(query[here], keys, values)
        return mixed

    def _attend_to_canvases(
        self,
        index: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        first: int,
        out: Tensor | None = None,
    ) -> Tensor:
        """Return the attention output of all canvases, from one kernel launch."""
        from redraft.ops.triton.attention import canvas_attention

        assert self._prefixes is not None
        start, stop = self.canvases[0].start, self.canvases[-1].stop
        return canvas_attention(
            query[start - first : stop - first],
            key[start:stop],
            value[start:stop],
            self._prefixes[index],
            self.canvases[0].length,
            out,
        )

    def _visible(
        self, index: int, segment: Segment, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the keys and values that a segment sees: those in its cache, and its own."""
        if self._places is not None and self._places.are_written(index, segment):
            return segment.cache.adopt(index, segment.length)
        own_key, own_value = (
            part[segment.start : segment.stop].transpose(0, 1) for part in (key, value)
        )
        see = segment.cache.write if segment.kept else segment.cache.peek
        return see(index, own_key, own_value)


def _positions(segments: Sequence[Segment], size: int) -> Tensor:
    """Return the position of each token of a pass in its sequence, int64 [size]."""
    positions = torch.zeros(size, dtype=torch.int64)
    for segment in segments:
        positions[segment.start : segment.stop] = torch.arange(
            segment.position, segment.position + segment.length
        )
    return positions
