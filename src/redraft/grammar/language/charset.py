"""Charset: a set of symbols, stored as intervals.

A symbol is a Unicode code point or, above all code points, a special token.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# The symbol of special token t is FIRST_SPECIAL + t.
FIRST_SPECIAL = 0x110000
# Greater than every symbol.
LAST_SYMBOL = 1 << 40
# Code points that are not characters: halves of UTF-16 surrogate pairs.
SURROGATES = (0xD800, 0xDFFF)


@dataclass(frozen=True)
class Charset:
    """A set of symbols.

    Attributes:
        intervals: (first, last) with both ends included, ascending; no two touch or overlap.
    """

    intervals: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, intervals: Iterable[tuple[int, int]]) -> Charset:
        """Build a set from intervals in any order, which may overlap."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted(intervals):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = merged[-1][0], max(merged[-1][1], last)
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    @classmethod
    def chars(cls, characters: str) -> Charset:
        """Build the set of the characters of a string."""
        return cls.of((ord(char), ord(char)) for char in characters)

    def __or__(self, other: Charset) -> Charset:
        return Charset.of([*self.intervals, *other.intervals])

    def __and__(self, other: Charset) -> Charset:
        found = []
        for first, last in self.intervals:
            for begin, end in other.intervals:
                if first <= end and begin <= last:
                    found.append((max(first, begin), min(last, end)))
        return Charset.of(found)

    def __sub__(self, other: Charset) -> Charset:
        gaps, at = [], 0
        for first, last in other.intervals:
            gaps.append((at, first - 1))
            at = last + 1
        gaps.append((at, LAST_SYMBOL))
        return self & Charset.of([gap for gap in gaps if gap[0] <= gap[1]])

    def __contains__(self, symbol: int) -> bool:
        return any(first <= symbol <= last for first, last in self.intervals)

    def __bool__(self) -> bool:
        return bool(self.intervals)


ANY_CHARACTER = Charset.of([(0, SURROGATES[0] - 1), (SURROGATES[1] + 1, FIRST_SPECIAL - 1)])
