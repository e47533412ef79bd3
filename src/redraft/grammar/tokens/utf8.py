"""From a DFA over characters to one over the bytes of their UTF-8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from redraft.grammar.budget import spend
from redraft.grammar.language.charset import FIRST_SPECIAL, Charset
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.minimise import DEAD

# The first and the last value that a byte may have.
ByteRange = tuple[int, int]
# The ranges of the bytes still to come.
Ranges = tuple[ByteRange, ...]
# The same, and the state behind them.
Path = tuple[Ranges, int]
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
        rows = [np.full(256, DEAD, dtype=np.int32) for _ in dfa.table]
        paths, special = _paths(dfa)
        # States inside characters are told apart by the bytes that can still follow.
        inside: dict[tuple[Path, ...], int] = {}
        left = list(enumerate(paths))
        for state, here in left:
            shape = tuple(ranges for ranges, _ in here)
            spend(1 + len(here), held=20)
            for first, last, following in _next_bytes(shape):
                ranges, at = following[0]
                if not ranges:
                    # The character is complete, and the DFA is deterministic: no other path
                    # has this byte.
                    rows[state][first : last + 1] = here[at][1]
                    continue
                key = tuple(sorted((rest, here[at][1]) for rest, at in following))
                if key not in inside:
                    inside[key] = len(rows)
                    left.append((len(rows), list(key)))
                    rows.append(np.full(256, DEAD, dtype=np.int32))
                rows[state][first : last + 1] = inside[key]
        final = np.zeros(len(rows), dtype=bool)
        final[: len(dfa.final)] = dfa.final
        return cls(np.stack(rows), final, special)


def _paths(dfa: DFA) -> tuple[list[list[Path]], list[tuple[int, int, int]]]:
    """Return the paths of bytes out of each state, and the transitions of special tokens."""
    paths: list[list[Path]] = [[] for _ in dfa.table]
    special: list[tuple[int, int, int]] = []
    for state, charset, target in dfa.transitions:
        found = _ranges(charset)
        spend(len(found), held=1 + len(found))
        paths[state] += [(ranges, target) for ranges in found]
        for first, last in charset.intervals:
            for symbol in range(max(first, FIRST_SPECIAL), last + 1):
                special.append((state, symbol - FIRST_SPECIAL, target))
    return paths, special


@lru_cache(maxsize=1024)
def _next_bytes(shape: tuple[Ranges, ...]) -> list[tuple[int, int, list[tuple[Ranges, int]]]]:
    """Return the runs of bytes that begin the same paths.

    Args:
        shape: the byte ranges of some paths.

    Returns:
        The first and the last byte of each run, and of each path that it begins the ranges that
        are left and the index.
    """
    behind: dict[int, list[tuple[Ranges, int]]] = {}
    for at, (head, *rest) in enumerate(shape):
        for byte in range(head[0], head[1] + 1):
            behind.setdefault(byte, []).append((tuple(rest), at))
    runs: list[tuple[int, int, list[tuple[Ranges, int]]]] = []
    for byte, following in sorted(behind.items()):
        if runs and runs[-1][1] == byte - 1 and runs[-1][2] == following:
            runs[-1] = runs[-1][0], byte, following
        else:
            runs.append((byte, byte, following))
    return runs


@lru_cache(maxsize=4096)
def _ranges(charset: Charset) -> tuple[Ranges, ...]:
    return tuple(utf8_ranges(charset))


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
