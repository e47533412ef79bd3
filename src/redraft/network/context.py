"""Segments of a forward pass, and the context that tells a layer what its tokens see.

A forward pass runs over the tokens of several sequences, laid end to end. A segment is the part of
one sequence: clean tokens, read causally and written to its cache (encoder), or a canvas, read in
both directions behind its cache (decoder).
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
from redraft.ops.attention import attention, causal_attention, image_attention
from redraft.ops.rope import inverse_frequencies, rotary_table
from redraft.ops.triton import uses_kernels

# The default number of clean tokens that one pass encodes at most.
PREFILL_CHUNK = 2048
# A text is encoded in blocks that begin at multiples of this, however passes are cut. So the result
# for a block depends on nothing but the tokens up to its end, and can be reused for other texts
# with the same beginning.
ENCODE_BLOCK = 256


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


@dataclass(frozen=True)
class ImageSpan:
    """An image in a sequence.

    Attributes:
        start, stop: the positions of its soft tokens. They are encoded in one pass: in sliding
            layers each of them sees all others.
        features: soft tokens [stop - start, H] that stand in the place of the tokens' embeddings;
            None for an image that another pass encodes.
    """

    start: int
    stop: int
    features: Tensor | None = None


# The images of each sequence of a pass, in their order. An empty one stands for no images.
Images = Sequence[Sequence[ImageSpan]]


@dataclass(frozen=True)
class Clean:
    """Clean tokens to encode.

    Attributes:
        tokens: int64 [n] for each sequence, n >= 1.
        caches: the cache of each sequence, to which its tokens are written.
        images: those of each sequence; empty where none has any.
    """

    tokens: Sequence[Tensor]
    caches: Sequence[Cache]
    images: Images = ()


@dataclass(frozen=True)
class Segment:
    """Tokens [start, stop) of a pass, which belong to one sequence.

    Attributes:
        position: of the first token in its sequence.
        clean: the tokens are encoded causally; otherwise they are a canvas.
        kept: the tokens' keys and values stay in the cache.
        images: where images begin and end in it, counted from its first token.
    """

    start: int
    stop: int
    cache: Cache
    clean: bool
    position: int
    kept: bool
    images: tuple[tuple[int, int], ...] = ()

    @property
    def length(self) -> int:
        return self.stop - self.start


def consecutive_segments(
    lengths: Sequence[int],
    caches: Sequence[Cache],
    *,
    clean: bool,
    keep: bool = True,
    after: Sequence[Segment] = (),
    images: Images = (),
) -> list[Segment]:
    """Return segments of the given lengths, laid end to end.

    Args:
        lengths, caches: one of each for a sequence.
        keep: write clean tokens to the cache. They are then cut into blocks of ENCODE_BLOCK.
        after: segments of the same pass that come first.
        images: of each sequence; empty where none has any.
    """
    ends = {id(segment.cache): segment.position + segment.length for segment in after}
    segments, start = [], after[-1].stop if after else 0
    spans: Images = images or [()] * len(lengths)
    for length, cache, placed in zip(lengths, caches, spans, strict=True):
        position = ends.get(id(cache), cache.length)
        for part in _block_lengths(position, length, placed) if clean and keep else [length]:
            inside = tuple(
                (image.start - position, image.stop - position)
                for image in placed
                if position <= image.start < position + part
            )
            segments.append(
                Segment(start, start + part, cache, clean, position, clean and keep, inside)
            )
            start, position = start + part, position + part
    return segments


def _block_lengths(position: int, length: int, images: Sequence[ImageSpan]) -> list[int]:
    """Return the lengths of the blocks of a part of a text.

    A part that is no longer than a block, such as a commit, is not cut. A prompt with images is cut
    as a whole, in whatever parts it comes: the blocks behind an image begin where it ends.
    """
    if length <= ENCODE_BLOCK and not images:
        return [length]
    stop = position + length
    edges = [edge for edge in block_edges(position, stop, images) if edge < stop]
    return [end - begin for begin, end in pairwise([position, *edges, stop])]


def block_edges(position: int, stop: int, images: Sequence[ImageSpan] = ()) -> Sequence[int]:
    """Return the ends, above `position` and up to `stop`, of the blocks in which a text is encoded.

    They are the multiples of ENCODE_BLOCK. One inside an image moves to the image's end.
    """
    grid = range(position - position % ENCODE_BLOCK + ENCODE_BLOCK, stop + 1, ENCODE_BLOCK)
    if not images:
        return grid
    moved = dict.fromkeys(end_of_image(edge, images) for edge in grid)
    return [edge for edge in moved if edge <= stop]


def end_of_image(position: int, images: Sequence[ImageSpan]) -> int:
    """Return a position at which a text may be cut: the end of an image that it lies in, or
    itself."""
    return next((one.stop for one in images if one.start < position < one.stop), position)


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

    def point_to(self, canvases: Sequence[Segment]) -> None:
        """Make the tensors that kernels read describe other canvases, in the same places.

        The rotary tables are among them, so they are computed once for a canvas, not at each step.
        """
        assert self._prefixes is not None
        self._positions.copy_(_positions(canvases, self.size))
        self._prefixes.copy_(self._locate(canvases))
        tables = rotary_tables(self.config, self._positions, self.dtype)
        for kind, table in tables.items():
            for own, new in zip(self._tables[kind], table, strict=True):
                own.copy_(new)

    def drop_caches(self) -> None:
        """Forget the canvases, so that their caches can be freed.

        Kernels that are captured already do not need them: `point_to` gives them other ones.
        """
        self.canvases = []

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
        mixed = query.new_zeros(len(query), query.shape[-2] * query.shape[-1])
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
                    mixed[here] = causal_attention(query[here], keys, values, window)
        if self.canvases and self.in_kernels:
            here = slice(self.canvases[0].start - first, self.canvases[-1].stop - first)
            mixed[here] = self._attend_to_canvases(index, query, key, value, first)
            return mixed
        for segment in self.canvases:
            keys, values = self._visible(index, segment, key, value)
            here = slice(segment.start - first, segment.stop - first)
            mixed[here] = attention(query[here], keys, values)
        return mixed

    def _attend_to_canvases(
        self, index: int, query: Tensor, key: Tensor, value: Tensor, first: int
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
        )

    def _visible(
        self, index: int, segment: Segment, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the keys and values that a segment sees: those in its cache, and its own."""
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
