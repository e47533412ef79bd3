"""From an automaton over characters to one over bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redraft.grammar.language.charset import SPECIAL, Charset
from redraft.grammar.language.dfa import DEAD, DFA

Range = tuple[int, int]
Way = tuple[tuple[Range, ...], int]  # ranges of bytes end to end, and the state behind them
LAST_OF_LENGTH = (0x7F, 0x7FF, 0xFFFF, 0x10FFFF)


@dataclass(frozen=True)
class ByteDFA:
    """States of an automaton, 0 its start, and behind them states inside characters.

    table: int32 [Q, 256], the next state, DEAD where there is none. final: bool [Q]. special:
        (state, special token, next state).
    """

    table: NDArray[np.int32]
    final: NDArray[np.bool_]
    special: list[tuple[int, int, int]]

    @classmethod
    def of(cls, automaton: DFA) -> ByteDFA:
        """The UTF-8 of an automaton's texts."""
        rows: list[list[int]] = [[DEAD] * 256 for _ in automaton.table]
        special: list[tuple[int, int, int]] = []
        ways: list[list[Way]] = [[] for _ in automaton.table]
        for state, charset, target in automaton.arcs():
            ways[state] += [(way, target) for way in encodings(charset)]
            for first, last in charset.intervals:
                special += [
                    (state, symbol - SPECIAL, target)
                    for symbol in range(max(first, SPECIAL), last + 1)
                ]
        inside: dict[tuple[Way, ...], int] = {}
        left = list(enumerate(ways))
        for state, here in left:
            behind: dict[int, list[Way]] = {}
            for (head, *rest), target in here:
                for byte in range(head[0], head[1] + 1):
                    behind.setdefault(byte, []).append((tuple(rest), target))
            for byte, following in behind.items():
                if not following[0][0]:
                    rows[state][byte] = following[0][
                        1
                    ]  # deterministic: a character's end is one way's alone
                    continue
                key = tuple(sorted(following))
                if key not in inside:
                    inside[key] = len(rows)
                    left.append((len(rows), list(key)))
                    rows.append([DEAD] * 256)
                rows[state][byte] = inside[key]
        final = np.zeros(len(rows), dtype=bool)
        final[: len(automaton.final)] = automaton.final
        return cls(np.array(rows, dtype=np.int32), final, special)


def encodings(charset: Charset) -> Iterator[tuple[Range, ...]]:
    """Ranges of bytes, end to end, that spell the characters of a set in UTF-8."""
    for first, last in charset.intervals:
        start = first
        for length_last in LAST_OF_LENGTH:
            end = min(last, length_last)
            if start <= end:
                yield from _split(start, end)
                start = end + 1


def _split(first: int, last: int) -> Iterator[tuple[Range, ...]]:
    """Characters of one encoded length, cut where not every continuation byte is free."""
    low, high = chr(first).encode(), chr(last).encode()
    for tail in range(len(low) - 1, 0, -1):
        bits = 6 * tail
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
