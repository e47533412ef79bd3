"""The context of passes that CUDA graphs hold: clean tokens in slots of one length, then canvases.

Everything that differs from pass to pass lies in one tensor that the kernels read. So a graph that
was captured for some sequences serves others, with prefixes and tokens of other lengths.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redraft.config import LayerConfig, ModelConfig
from redraft.network.cache import Cache
from redraft.network.context import rotary_tables
from redraft.network.segments import ENCODE_BLOCK, Segment

# Lengths of a slot: the smallest that holds the longest segment of a pass is taken.
SLOT_LENGTHS = (1, 16, 64, ENCODE_BLOCK)
# Numbers that tell `placed_attention` where a slot reads.
PLACE = 6
# Columns of `Cache.addresses`.
KEYS, VALUES, HEAD_STEP, COLUMN_BYTES, KEPT, VISIBLE = range(6)


class PassShape(NamedTuple):
    """The shape of a pass: slots for clean tokens and their length, canvases and their length."""

    slots: int
    slot_length: int
    canvases: int
    canvas_length: int

    @property
    def clean(self) -> int:
        """Rows of all slots, which come first."""
        return self.slots * self.slot_length

    @property
    def size(self) -> int:
        """Rows of the pass."""
        return self.clean + self.canvases * self.canvas_length

    @classmethod
    def of(cls, segments: Sequence[Segment]) -> PassShape:
        """Return the shape of a pass over segments: clean ones, then canvases of one length.

        No clean segment is longer than ENCODE_BLOCK.
        """
        clean = [one.length for one in segments if one.clean]
        canvases = [one.length for one in segments if not one.clean]
        longest = max(clean, default=1)
        slot = next(length for length in SLOT_LENGTHS if length >= longest)
        return cls(len(clean), slot, len(canvases), canvases[0] if canvases else 0)


def fits_slots(segments: Sequence[Segment]) -> bool:
    """Return True if `RecordedContext` can run a pass over these segments.

    All clean tokens are kept, no images are among them, and each cache has, or can make, room for
    them behind its columns. Columns may be moved by this call.
    """
    if any(one.cache.adapter for one in segments):
        return False
    clean = [one for one in segments if one.clean]
    if any(one.images or not one.kept or one.length > ENCODE_BLOCK for one in clean):
        return False
    totals: Counter[int] = Counter()
    caches: dict[int, Cache] = {}
    for one in clean:
        totals[id(one.cache)] += one.length
        caches[id(one.cache)] = one.cache
    found = [cache.free_columns(totals[name]) for name, cache in caches.items()]
    return all(found)


class RecordedContext:
    """A context of kernels alone, which can be pointed to other segments of the same shape.

    Args:
        like: a tensor with the dtype and device of the pass.
    """

    dense_experts = False

    def __init__(self, config: ModelConfig, segments: Sequence[Segment], like: Tensor) -> None:
        self.config, self.dtype = config, like.dtype
        self.shape = shape = PassShape.of(segments)
        layers = config.num_hidden_layers
        self._sizes = [
            shape.size,  # positions
            shape.size,  # owners
            layers * shape.slots * 4,  # where clean tokens are written
            layers * shape.slots * PLACE,  # and where they read
            layers * shape.canvases * 4,  # where canvases read
        ]
        self._numbers = torch.zeros(sum(self._sizes), dtype=torch.int64, device=like.device)
        positions, owners, places, clean, prefixes = self._numbers.split(self._sizes)
        self._positions, self._owners = positions, owners
        self._places = places.view(layers, shape.slots, 4)
        self._clean = clean.view(layers, shape.slots, PLACE)
        self._prefixes = prefixes.view(layers, shape.canvases, 4)
        self._is_clean = torch.zeros(shape.size, 1, dtype=torch.bool, device=like.device)
        self._is_clean[: shape.clean] = True
        self._tables: dict[str, tuple[Tensor, Tensor]] | None = None
        self.point_to(segments)

    def point_to(self, segments: Sequence[Segment]) -> None:
        """Make the numbers that kernels read describe other segments of the same shape.

        Each cache has room for its clean tokens (`fits_slots`). Of canvases alone the rotary tables
        are computed here, once for a canvas, and not at each step.
        """
        assert PassShape.of(segments) == self.shape, (PassShape.of(segments), self.shape)
        numbers = np.concatenate([part.reshape(-1) for part in self._describe(segments)])
        self._numbers.copy_(torch.from_numpy(numbers))
        if self.shape.slots:
            return
        tables = rotary_tables(self.config, self._positions, self.dtype)
        if self._tables is None:
            self._tables = tables
        for kind, table in tables.items():
            for own, new in zip(self._tables[kind], table, strict=True):
                own.copy_(new)

    def prepare(self) -> None:
        """Compute what the kernels read and every pass has anew; part of what is captured."""
        if self.shape.slots:
            self._tables = rotary_tables(self.config, self._positions, self.dtype)

    def _describe(self, segments: Sequence[Segment]) -> list[NDArray[np.int64]]:
        """Return the numbers of positions, owners, places, clean tokens and prefixes."""
        shape, layers = self.shape, self.config.num_hidden_layers
        positions = np.zeros(shape.size, dtype=np.int64)
        owners = np.full(shape.size, -1, dtype=np.int64)
        places = np.zeros((layers, shape.slots, 4), dtype=np.int64)
        clean = np.zeros((layers, shape.slots, PLACE), dtype=np.int64)
        prefixes = np.zeros((layers, shape.canvases, 4), dtype=np.int64)
        before: Counter[int] = Counter()
        for number, one in enumerate(segments[: shape.slots]):
            start = number * shape.slot_length
            here = slice(start, start + one.length)
            positions[here] = np.arange(one.position, one.position + one.length)
            owners[here] = number
            _place(places[:, number], clean[:, number], one, before[id(one.cache)], start)
            before[id(one.cache)] += one.length
        for number, one in enumerate(segments[shape.slots :]):
            start = shape.clean + number * shape.canvas_length
            here = slice(start, start + one.length)
            positions[here] = np.arange(one.position, one.position + one.length)
            _locate(prefixes[:, number], one, before[id(one.cache)])
        return [positions, owners, places, clean, prefixes]

    def rotary(self, layer: LayerConfig) -> tuple[Tensor, Tensor]:
        assert self._tables is not None
        return self._tables[layer.kind]

    def layer_scalar(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        if not self.shape.slots:
            return decoder.expand(self.shape.size, 1)
        if not self.shape.canvases:
            return encoder.expand(self.shape.size, 1)
        return torch.where(self._is_clean, encoder, decoder)

    def key_value_places(self, index: int) -> tuple[Tensor, Tensor] | None:
        return (self._owners, self._places[index]) if self.shape.slots else None

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        from redraft.ops.triton.attention import canvas_attention
        from redraft.ops.triton.placed_attention import placed_attention

        shape, first = self.shape, self.shape.size - len(query)
        # What is left out are whole slots, and no canvas.
        assert first <= shape.clean, (first, shape)
        assert not first % shape.slot_length, (first, shape)
        canvases = key[shape.clean :], value[shape.clean :]
        if not shape.slots:
            return canvas_attention(query, *canvases, self._prefixes[index], shape.canvas_length)
        # Both kernels write all of their rows.
        mixed = query.new_empty(len(query), query.shape[-2] * query.shape[-1])
        begin = max(0, shape.clean - first)  # row of the first canvas
        if begin:
            slots = self._clean[index, first // shape.slot_length :]
            window = self.config.layers[index].sliding_window
            here, out = query[:begin], mixed[:begin]
            placed_attention(here, slots, shape.slot_length, key.shape[1], window, out)
        if shape.canvases:
            out = mixed[begin:]
            canvas_attention(
                query[begin:], *canvases, self._prefixes[index], shape.canvas_length, out
            )
        return mixed


def _place(
    places: NDArray[np.int64], clean: NDArray[np.int64], one: Segment, before: int, start: int
) -> None:
    """Write, for each layer, where a segment's keys and values go, and where it reads.

    Args:
        places, clean: [layers, 4] and [layers, PLACE].
        before: tokens that the same pass writes to its cache before it.
        start: row of its first token.
    """
    table = one.cache.addresses()
    end = table[:, KEPT] + before
    places[:, :2] = table[:, (KEYS, VALUES)] + (end * table[:, COLUMN_BYTES])[:, None]
    places[:, 2], places[:, 3] = table[:, HEAD_STEP], start
    clean[:, :3] = table[:, (KEYS, VALUES, HEAD_STEP)]
    clean[:, 3], clean[:, 4] = end, one.length


def _locate(prefixes: NDArray[np.int64], one: Segment, before: int) -> None:
    """Write where the prefix lies that a canvas sees, [layers, 4]; see `PrefixLocation`."""
    table = one.cache.addresses()
    kept = table[:, KEPT] + before
    shown = np.minimum(kept, table[:, VISIBLE])
    skipped = (kept - shown) * table[:, COLUMN_BYTES]
    prefixes[:, :2] = table[:, (KEYS, VALUES)] + skipped[:, None]
    prefixes[:, 2], prefixes[:, 3] = table[:, HEAD_STEP], shown
