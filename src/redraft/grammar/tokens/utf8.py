"""From a DFA over characters to one over the bytes of their UTF-8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redraft.grammar.language.charset import FIRST_SPECIAL, Charset
from redraft.grammar.language.dfa import DEAD, DFA

# The first and the last value that a byte may have.
ByteRange = tuple[int, int]
# The ranges of the bytes still to come, and the state behind them.
Path = tuple[tuple[ByteRange, ...], int]
# The last code point that has 1, 2, 3 and 4 bytes.
LAST_OF_LENGTH = (0x7F, 0x7FF, 0xFFFF, 0x10FFFF)
# Bits of the code point in each continuation byte.
CONTINUATION_BITS = 6


@dataclass(frozen=True)
class ByteDFA:
    """A DFA over bytes: the states of the DFA over characters, 0 the start, then states inside
    characters.

    Attributes:
        table: int32 [Q, 256], the next state, DEAD where there is none.
        final: bool [Q].
        special: (state, special token, next state).
    """

    table: NDArray[np.int32]
    final: NDArray[np.bool_]
    special: list[tuple[int, int, int]]

    @classmethod
    def of(cls, dfa: DFA) -> ByteDFA:
        """Build the DFA of the UTF-8 of a DFA's texts."""
        rows: list[list[int]] = [[DEAD] * 256 for _ in dfa.table]
        paths, special = _paths(dfa)
        # States inside characters are told apart by the bytes that can still follow.
        inside: dict[tuple[Path, ...], int] = {}
        left = list(enumerate(paths))
        for state, here in left:
            behind: dict[int, list[Path]] = {}
            for (head, *rest), target in here:
                for byte in range(head[0], head[1] + 1):
                    behind.setdefault(byte, []).append((tuple(rest), target))
            for byte, following in behind.items():
                ranges, target = following[0]
                if not ranges:
                    # The character is complete, and the DFA is deterministic: no other path
                    # has this byte.
                    rows[state][byte] = target
                    continue
                key = tuple(sorted(following))
                if key not in inside:
                    inside[key] = len(rows)
                    left.append((len(rows), list(key)))
                    rows.append([DEAD] * 256)
                rows[state][byte] = inside[key]
        final = np.zeros(len(rows), dtype=bool)
        final[: len(dfa.final)] = dfa.final
        return cls(np.array(rows, dtype=np.int32), final, special)


def _paths(dfa: DFA) -> tuple[list[list[Path]], list[tuple[int, int, int]]]:
    """Return the paths of bytes out of each state, and the transitions of special tokens."""
    paths: list[list[Path]] = [[] for _ in dfa.table]
    special: list[tuple[int, int, int]] = []
    for state, charset, target in dfa.transitions():
        paths[state] += [(ranges, target) for ranges in utf8_ranges(charset)]
        for first, last in charset.intervals:
            for symbol in range(max(first, FIRST_SPECIAL), last + 1):
                special.append((state, symbol - FIRST_SPECIAL, target))
    return paths, special


def utf8_ranges(charset: Charset) -> Iterator[tuple[ByteRange, ...]]:
    """Yield sequences of byte ranges; together they are the UTF-8 of the charset's characters."""
    for first, last in charset.intervals:
        start = first
        for length_last in LAST_OF_LENGTH:
            end = min(last, length_last)
            if start <= end:
                yield from _split(start, end)
                start = end + 1


def _split(first: int, last: int) -> Iterator[tuple[ByteRange, ...]]:
    """Split characters of one encoded length where a continuation byte would not be free.

    A range of characters is one sequence of byte ranges only where every byte behind the first
    one that differs takes all its values.
    """
    low, high = chr(first).encode(), chr(last).encode()
    for tail in range(len(low) - 1, 0, -1):
        bits = CONTINUATION_BITS * tail
        mask = (1 << bits) - 1
        if first >> bits != last >> bits:
            if first & mask:
                yield from _split(first, first | mask)
                yield from _split((first | mask) + 1, last)
                return
            if last & mask != mask:
                yield from _split(first, (last & ~mask) - 1)
                yield from _split(last & ~mask, last)
                return
    yield tuple(zip(low, high, strict=True))
