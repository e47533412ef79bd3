"""Charset: a set of symbols as intervals. Symbols are Unicode code points and, above them, special
tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SPECIAL = 0x110000  # the symbol of special token t is SPECIAL + t
SURROGATES = (0xD800, 0xDFFF)  # code points that are no characters


@dataclass(frozen=True)
class Charset:
    """intervals: first and last symbol, inclusive, ascending, neither touching nor overlapping."""

    intervals: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, intervals: Iterable[tuple[int, int]]) -> Charset:
        """From intervals in any order."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted(intervals):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = merged[-1][0], max(merged[-1][1], last)
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    @classmethod
    def chars(cls, characters: str) -> Charset:
        """These characters."""
        return cls.of((ord(char), ord(char)) for char in characters)

    def __or__(self, other: Charset) -> Charset:
        return Charset.of([*self.intervals, *other.intervals])

    def __and__(self, other: Charset) -> Charset:
        pairs = [
            (a, b) for a in self.intervals for b in other.intervals if a[0] <= b[1] and b[0] <= a[1]
        ]
        return Charset.of((max(a[0], b[0]), min(a[1], b[1])) for a, b in pairs)

    def __sub__(self, other: Charset) -> Charset:
        gaps, at = [], 0
        for first, last in other.intervals:
            gaps.append((at, first - 1))
            at = last + 1
        rest = Charset.of([gap for gap in [*gaps, (at, 1 << 40)] if gap[0] <= gap[1]])
        return self & rest

    def __contains__(self, symbol: int) -> bool:
        return any(first <= symbol <= last for first, last in self.intervals)

    def __bool__(self) -> bool:
        return bool(self.intervals)


ANY = Charset.of([(0, SURROGATES[0] - 1), (SURROGATES[1] + 1, SPECIAL - 1)])  # every character
