"""Prefix cache: encoded beginnings of prompts, kept by what they say, for others that begin alike.

prompt -> blocks of READ_BLOCK tokens -> those that are kept are copied, the rest is encoded -> and
kept in turn

A block is encoded alike whatever stands behind it and however passes are cut, so a text is the same
with this cache and without.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.network import READ_BLOCK, Cache, DiffusionGemma

KeysValues = tuple[Tensor, Tensor]  # each [kv_heads, n, head_dim]
Name = tuple[
    int, tuple[int, ...]
]  # the number of the block before, 0 for none, and a block's own tokens


@dataclass(frozen=True)
class _Block:
    """READ_BLOCK tokens behind those of other blocks, encoded: keys and values of each layer."""

    number: int
    name: Name
    layers: list[KeysValues]

    @property
    def nbytes(self) -> int:
        return sum(key.nbytes + value.nbytes for key, value in self.layers)


class PrefixCache:
    """At most `capacity` bytes of blocks; whatever was used longest ago makes room.

    Attributes:
        held: bytes. hits: tokens that were copied. misses: tokens that were to be encoded, all
            prompts together.
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

    def begin(self, tokens: Sequence[int], room: int, *, whole: bool = False) -> Cache:
        """A cache with room for `room` tokens that holds as many of these as are known, at
        multiples of READ_BLOCK: its `length`. What is then encoded of the rest is kept for
        others."""
        cache = self.model.new_cache(room, whole=whole)
        found = self._find(tokens)
        if found:
            cache.load([self._joined(found, layer, cache.keeps(layer)) for layer in range(len(self.model.layers))],
                       len(found) * READ_BLOCK)  # fmt: skip
        self.hits += cache.length
        self.misses += len(tokens) - cache.length
        if self.capacity and len(tokens) >= cache.length + READ_BLOCK:
            keeper = _Keeper(self, tokens, cache.length, found[-1].number if found else 0)
            cache.watcher = keeper.hear
        return cache

    def known(self, tokens: Sequence[int]) -> int:
        """How many of these a cache would hold from the beginning."""
        return len(self._find(tokens)) * READ_BLOCK

    def keep(self, name: Name, layers: list[KeysValues]) -> int | None:
        """Keep a block; its number, None where a block that it stands behind is gone, so that it
        could not be found, or where there is no room beside them."""
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

    def allow(self, most: int) -> None:
        """Hold at most `most` bytes for now, where that is less than the capacity."""
        self.allowed = max(0, min(self.capacity, most))
        self._shrink(self.allowed)

    def _shrink(self, most: int) -> None:
        while self._blocks and self.held > most:
            self._drop_first()

    def _drop_first(self) -> None:
        _, block = self._blocks.popitem(last=False)
        del self._numbers[block.name]
        self.held -= block.nbytes

    def _use(self, line: Sequence[int]) -> None:
        """Blocks, the last of a text first, are used now."""
        for number in line:
            self._blocks.move_to_end(number)

    def _line(self, number: int) -> list[int] | None:
        """A block and all that it stands behind, itself first; None where one is gone."""
        line: list[int] = []
        while number:
            if (block := self._blocks.get(number)) is None:
                return None
            line.append(number)
            number = block.name[0]
        return line

    def _find(self, tokens: Sequence[int]) -> list[_Block]:
        """The blocks that `tokens` begin with, as far as they are known; they are used now."""
        found: list[_Block] = []
        for first in range(0, len(tokens) - READ_BLOCK + 1, READ_BLOCK):
            name = (found[-1].number if found else 0, tuple(tokens[first : first + READ_BLOCK]))
            if (number := self._numbers.get(name)) is None:
                break
            found.append(self._blocks[number])
        self._use([block.number for block in reversed(found)])
        return found

    @staticmethod
    def _joined(blocks: list[_Block], layer: int, most: int) -> KeysValues:
        """Keys and values of the last blocks, with `most` tokens at least."""
        last = [block.layers[layer] for block in blocks[-max(1, -(-most // READ_BLOCK)) :]]
        return torch.cat([key for key, _ in last], 1), torch.cat([value for _, value in last], 1)


class _Keeper:
    """Listens to one cache while a prompt is written to it, from `position` on, behind the block
    `before`."""

    def __init__(
        self, prefixes: PrefixCache, tokens: Sequence[int], position: int, before: int
    ) -> None:
        self.prefixes, self.tokens, self.before = prefixes, tuple(tokens), before
        self._lengths = [position] * len(prefixes.model.layers)
        self._heard: dict[int, list[KeysValues]] = defaultdict(
            list
        )  # by the block's first position

    def hear(self, layer: int, key: Tensor, value: Tensor) -> None:
        """What one layer gets of the next tokens."""
        first = self._lengths[layer]
        last = self._lengths[layer] = first + key.shape[1]
        if first % READ_BLOCK or key.shape[1] != READ_BLOCK or last > len(self.tokens):
            return
        layers = self._heard[first]
        layers.append((key.contiguous().clone(), value.contiguous().clone()))
        if len(layers) == len(self._lengths):
            number = self.prefixes.keep(
                (self.before, self.tokens[first:last]), self._heard.pop(first)
            )
            self.before = (
                -1 if number is None else number
            )  # behind one that is not kept nothing can be found
