"""Alphabet: symbols by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from redraft.grammar.language.charset import Charset

Ints = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Alphabet:
    """Symbols by class: those of a class are alike to an automaton.

    starts: int64 [I], the first symbol of each interval, ascending from 0. kinds: int32 [I], the
    class of each, -1 for symbols that no text has.
    """

    starts: NDArray[np.int64]
    kinds: Ints

    @property
    def size(self) -> int:
        return int(self.kinds.max(initial=-1)) + 1

    def kind(self, symbol: int) -> int:
        """The class of a symbol."""
        return int(self.kinds[np.searchsorted(self.starts, symbol, side="right") - 1])

    @cached_property
    def charsets(self) -> list[Charset]:
        """The symbols of each class."""
        ends = [*(self.starts[1:] - 1).tolist(), 1 << 40]
        intervals: list[list[tuple[int, int]]] = [[] for _ in range(self.size)]
        for first, last, kind in zip(self.starts.tolist(), ends, self.kinds.tolist(), strict=True):
            if kind >= 0:
                intervals[kind].append((first, last))
        return [Charset.of(found) for found in intervals]

    @classmethod
    def separating(cls, charsets: Sequence[Charset]) -> Alphabet:
        """The coarsest one in which every set is a union of classes."""
        starts = np.unique(
            [
                0,
                *(
                    edge
                    for one in charsets
                    for first, last in one.intervals
                    for edge in (first, last + 1)
                ),
            ]
        )
        members = np.zeros((len(charsets), len(starts)), dtype=bool)
        for row, one in zip(members, charsets, strict=True):
            for first, last in one.intervals:
                row[np.searchsorted(starts, first) : np.searchsorted(starts, last + 1)] = True
        inside = members.any(axis=0)
        kinds = np.full(len(starts), -1, dtype=np.int32)
        if inside.any():
            _, kinds[inside] = np.unique(members[:, inside], axis=1, return_inverse=True)
        return cls(starts, kinds)

    def kinds_of(self, charset: Charset) -> list[int]:
        """The classes that a set, one that this alphabet separates, is made of."""
        found = set()
        for first, last in charset.intervals:
            begin, end = np.searchsorted(self.starts, [first, last + 1])
            found.update(self.kinds[begin:end].tolist())
        return sorted(found)
