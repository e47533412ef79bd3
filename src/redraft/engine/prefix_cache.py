"""Prefix cache: KV blocks of prompt prefixes, keyed by content, parent block and adapter.

prompt -> blocks of ENCODE_BLOCK tokens -> known blocks are copied, the rest is encoded
  -> and kept in turn

A block is encoded alike whatever follows it and however passes are cut, so a text is the same with
this cache and without.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from redraft.network import Cache, DiffusionGemma, ImageSpan, block_edges

KeysValues = tuple[Tensor, Tensor]  # each [kv_heads, n, head_dim]
# The number of the block before, 0 for none; a block's own tokens; the adapter that reads them.
Name = tuple[int, tuple[int, ...], str | None]


@dataclass(frozen=True)
class _Block:
    """KV pairs of a block's tokens behind those of the parent blocks, layer by layer.

    They are ENCODE_BLOCK tokens, or more or fewer where an image moved an edge.
    """

    number: int
    name: Name
    layers: list[KeysValues]

    @property
    def length(self) -> int:
        """The number of its tokens."""
        return len(self.name[1])

    @property
    def nbytes(self) -> int:
        return sum(key.nbytes + value.nbytes for key, value in self.layers)


class PrefixCache:
    """At most `capacity` bytes of blocks; the least recently used make room.

    Attributes:
        held: bytes. hits: tokens that were copied. misses: tokens that were encoded, all prompts
            together.
    """

    def __init__(self, model: DiffusionGemma, capacity: int = 0) -> None:
        self.model = model
        self.capacity = self.allowed = capacity
        self.held = self.hits = self.misses = 0
        # By number; the first was used longest ago. A block stands before all that it stands
        # behind, and is forgotten first.
        self._blocks: OrderedDict[int, _Block] = OrderedDict()
        self._numbers: dict[Name, int] = {}
        self._next = 1

    def begin(
        self,
        tokens: Sequence[int],
        capacity: int,
        *,
        whole: bool = False,
        adapter: str | None = None,
        images: Sequence[ImageSpan] = (),
    ) -> Cache:
        """Return a cache with room for `capacity` tokens that holds the known blocks of `tokens`.

        Its `length` says how many tokens these are. What is then encoded of the rest is kept for
        others with the same adapter.

        Args:
            tokens: those of images have numbers of their own (see `engine/images.py`).
            images: the places of images among the tokens.
        """
        cache = self.model.new_cache(capacity, truncatable=whole, adapter=adapter)
        found = self._find(tokens, adapter, images)
        if found:
            layers = range(len(self.model.layers))
            pairs = [self._joined(found, layer, cache.max_kept(layer)) for layer in layers]
            cache.load(pairs, sum(block.length for block in found))
        self.hits += cache.length
        self.misses += len(tokens) - cache.length
        edges = block_edges(cache.length, len(tokens), images)
        if self.capacity and edges:
            before = found[-1].number if found else 0
            keeper = _Keeper(self, tokens, adapter, cache.length, before, edges)
            cache.on_write = keeper.hear
        return cache

    def known(
        self,
        tokens: Sequence[int],
        adapter: str | None = None,
        images: Sequence[ImageSpan] = (),
    ) -> int:
        """Return how many of these tokens a cache would hold from the beginning."""
        return sum(block.length for block in self._find(tokens, adapter, images))

    def keep(self, name: Name, layers: list[KeysValues]) -> int | None:
        """Keep a block; return its number.

        None where a parent block is gone, so that it could not be found, or where there is no
        memory beside the parents.
        """
        line = self._line(name[0])
        if line is None:
            return None
        self._use(line)
        if (known := self._numbers.get(name)) is not None:
            return known
        block = _Block(self._next, name, layers)
        while self.held + block.nbytes > self.allowed:
            if next(iter(self._blocks), None) == (line[0] if line else None):
                return None  # only those that it stands behind are left
            self._drop_first()
        self._next += 1
        self._blocks[block.number], self._numbers[name] = block, block.number
        self._use(line)
        self.held += block.nbytes
        return block.number

    def allow(self, limit: int) -> None:
        """Hold at most `limit` bytes for now, where that is less than the capacity."""
        self.allowed = max(0, min(self.capacity, limit))
        self._shrink(self.allowed)

    def _shrink(self, limit: int) -> None:
        while self._blocks and self.held > limit:
            self._drop_first()

    def _drop_first(self) -> None:
        _, block = self._blocks.popitem(last=False)
        del self._numbers[block.name]
        self.held -= block.nbytes

    def _use(self, line: Sequence[int]) -> None:
        """Mark blocks as used now, the last of a text first."""
        for number in line:
            self._blocks.move_to_end(number)

    def _line(self, number: int) -> list[int] | None:
        """Return a block and its parents, itself first; None where one is gone."""
        line: list[int] = []
        while number:
            if (block := self._blocks.get(number)) is None:
                return None
            line.append(number)
            number = block.name[0]
        return line

    def _find(
        self, tokens: Sequence[int], adapter: str | None, images: Sequence[ImageSpan]
    ) -> list[_Block]:
        """Return the known blocks that `tokens` begin with, and mark them as used."""
        found: list[_Block] = []
        first = 0
        for edge in block_edges(0, len(tokens), images):
            name = found[-1].number if found else 0, tuple(tokens[first:edge]), adapter
            if (number := self._numbers.get(name)) is None:
                break
            found.append(self._blocks[number])
            first = edge
        self._use([block.number for block in reversed(found)])
        return found

    @staticmethod
    def _joined(blocks: list[_Block], layer: int, minimum: int) -> KeysValues:
        """Return keys and values of the last blocks, `minimum` tokens or more."""
        last: list[KeysValues] = []
        missing = max(1, minimum)
        for block in reversed(blocks):
            if missing <= 0:
                break
            last.insert(0, block.layers[layer])
            missing -= block.length
        return torch.cat([key for key, _ in last], 1), torch.cat([value for _, value in last], 1)


class _Keeper:
    """Listens to one cache while a prompt is written to it, from `position` on.

    `before` is the number of the block in front, `edges` are the ends of the blocks to come.
    """

    def __init__(
        self,
        prefixes: PrefixCache,
        tokens: Sequence[int],
        adapter: str | None,
        position: int,
        before: int,
        edges: Sequence[int],
    ) -> None:
        self.prefixes, self.tokens, self.before = prefixes, tuple(tokens), before
        self.adapter = adapter
        self._blocks = set(pairwise([position, *edges]))
        self._lengths = [position] * len(prefixes.model.layers)
        self._heard: dict[int, list[KeysValues]] = defaultdict(
            list
        )  # by the block's first position

    def hear(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Take the keys and values of one layer for the next tokens."""
        first = self._lengths[layer]
        last = self._lengths[layer] = first + key.shape[1]
        if (first, last) not in self._blocks:
            return
        layers = self._heard[first]
        layers.append((key.contiguous().clone(), value.contiguous().clone()))
        if len(layers) == len(self._lengths):
            name = self.before, self.tokens[first:last], self.adapter
            number = self.prefixes.keep(name, self._heard.pop(first))
            self.before = (
                -1 if number is None else number
            )  # behind one that is not kept nothing can be found
