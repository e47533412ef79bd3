"""Alphabet: symbols in classes, so that a DFA's table has a column a class, not a character."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from redraft.grammar.budget import spend
from redraft.grammar.language.charset import LAST_SYMBOL, Charset
from redraft.grammar.language.columns import unique_columns

Ints = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Alphabet:
    """A partition of the symbols; the automaton treats the symbols of one class alike.

    Attributes:
        starts: int64 [I], the first symbol of each interval, ascending from 0.
        classes: int32 [I], the class of each interval, -1 for symbols that no text contains.
    """

    starts: NDArray[np.int64]
    classes: Ints

    @property
    def size(self) -> int:
        return int(self.classes.max(initial=-1)) + 1

    def class_of(self, symbol: int) -> int:
        """Return the class of a symbol, -1 where it has none."""
        return int(self.classes[np.searchsorted(self.starts, symbol, side="right") - 1])

    @cached_property
    def charsets(self) -> list[Charset]:
        """The symbols of each class."""
        ends = [*(self.starts[1:] - 1).tolist(), LAST_SYMBOL]
        intervals: list[list[tuple[int, int]]] = [[] for _ in range(self.size)]
        for first, last, number in zip(
            self.starts.tolist(), ends, self.classes.tolist(), strict=True
        ):
            if number >= 0:
                intervals[number].append((first, last))
        return [Charset.of(found) for found in intervals]

    @classmethod
    def separating(cls, charsets: Sequence[Charset]) -> Alphabet:
        """Build the coarsest alphabet in which every charset is a union of classes."""
        edges = {0}
        for charset in charsets:
            for first, last in charset.intervals:
                edges |= {first, last + 1}
        starts = np.array(sorted(edges), dtype=np.int64)
        cells = len(charsets) * len(starts)
        spend(cells, held=cells // 50)
        members = np.zeros((len(charsets), len(starts)), dtype=bool)
        for row, charset in zip(members, charsets, strict=True):
            for first, last in charset.intervals:
                row[np.searchsorted(starts, first) : np.searchsorted(starts, last + 1)] = True
        inside = members.any(axis=0)
        classes = np.full(len(starts), -1, dtype=np.int32)
        if inside.any():
            # Intervals that are in the same charsets are one class.
            _, classes[inside] = unique_columns(np.packbits(members[:, inside], axis=0))
        return cls(starts, classes)

    def classes_of(self, charset: Charset) -> list[int]:
        """Return the classes of a charset, which must be a union of classes."""
        found = set()
        for first, last in charset.intervals:
            begin, end = np.searchsorted(self.starts, [first, last + 1])
            found.update(self.classes[begin:end].tolist())
        return sorted(found)
