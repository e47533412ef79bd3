"""Where a kernel writes the keys and values of clean tokens: straight to their caches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from redraft.config import ModelConfig
from redraft.network.segments import Segment

NOWHERE = (0, 0, 0)


class CachePlaces:
    """The places of a pass's clean tokens in every layer.

    A segment has none in a layer whose cache must move columns first, or where nothing is kept.
    """

    def __init__(
        self, config: ModelConfig, clean: Sequence[Segment], size: int, device: torch.device
    ) -> None:
        owners = torch.full((size,), -1, dtype=torch.int32)
        rows: list[list[tuple[int, ...]]] = [[] for _ in range(config.num_hidden_layers)]
        self._placed: set[tuple[int, int]] = set()
        self._written: set[int] = set()
        before: Counter[int] = Counter()
        for number, one in enumerate(clean):
            owners[one.start : one.stop] = number
            for layer, places in enumerate(rows):
                place = None
                if one.kept:
                    place = one.cache.place(layer, one.length, before[id(one.cache)])
                if place is not None:
                    self._placed.add((layer, one.start))
                places.append((*(place or NOWHERE), one.start))
            before[id(one.cache)] += one.length
        self._owners = owners.to(device)
        self._table = torch.tensor(rows, dtype=torch.int64).to(device)

    def of_layer(self, index: int) -> tuple[Tensor, Tensor]:
        """Return what the kernel reads, and take the layer's keys and values as written.

        The segment of each token, int32 [size], -1 for those of canvases; and for each segment
        int64 [4]: the addresses of the keys and of the values of its first token in the first head
        (0 for no place), the number of elements from head to head, the number of its first token.
        """
        self._written.add(index)
        return self._owners, self._table[index]

    def are_written(self, index: int, segment: Segment) -> bool:
        """Return True if a segment's keys and values are in its cache already."""
        return index in self._written and (index, segment.start) in self._placed
