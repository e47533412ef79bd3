"""JSON counts: how many values a JSON text has, found without parsing it.

To parse a text holds the interpreter for as long as it has values; numpy counts its bytes, and lets
others run meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A text of so many bytes has few values, and is not counted.
SMALL = 64 << 10
# Values of a text: numbers, texts and everything else that stands in a list or has a name. Parts:
# lists, objects, and members of objects. Texts: those that stand in a list, are a value, or name
# one. Written: bytes that are not ASCII, and four an escape.
MAX_VALUES, MAX_PARTS, MAX_WRITTEN = 512 << 10, 128 << 10, 4 << 20
MAX_TEXTS = 128 << 10
SLICE = 1 << 20  # bytes that are counted at a time
QUOTE, BACKSLASH, COMMA, COLON = b'"\\,:'
OPENING = ord("{")  # and, but for one bit, "["

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass
class Counts:
    """The counts of a text, as far as it was read; see MAX_VALUES."""

    values: int = 0
    parts: int = 0
    quotes: int = 0
    written: int = 0

    @property
    def is_too_much(self) -> bool:
        """True where the text is refused."""
        return (
            self.values > MAX_VALUES
            or self.parts > MAX_PARTS
            or self.quotes > 2 * MAX_TEXTS
            or self.written > MAX_WRITTEN
        )

    def add(self, other: Counts) -> None:
        """Count what another text has."""
        self.values, self.parts = self.values + other.values, self.parts + other.parts
        self.quotes, self.written = self.quotes + other.quotes, self.written + other.written


def counted(body: bytes) -> Counts:
    """Count a text's values, up to a limit: what stands in texts is none."""
    found = Counts()
    whole = np.frombuffer(body, np.uint8)
    first, quoted = 0, np.False_
    while first < len(body) and not found.is_too_much:
        last = min(first + SLICE, len(body))
        while last < len(body) and body[last - 1] == BACKSLASH:
            last += 1  # a slice ends behind what is escaped
        part = whole[first:last]
        escapes = np.flatnonzero(part == BACKSLASH)
        found.written += 4 * len(escapes) + int(np.count_nonzero(part >= 128))
        quotes = part == QUOTE
        if len(escapes) and not found.is_too_much:
            quotes &= ~_escaped(escapes, len(part))
        found.quotes += int(np.count_nonzero(quotes))
        inside = np.logical_xor.accumulate(quotes) ^ quoted
        quoted = inside[-1]
        _count_outside(found, part[~inside])
        first = last
    return found


def _count_outside(found: Counts, part: Bytes) -> None:
    """Count what stands outside of texts."""
    opened = int(np.count_nonzero(part | 0x20 == OPENING))
    members = int(np.count_nonzero(part == COLON))
    found.values += int(np.count_nonzero(part == COMMA)) + opened
    found.parts += opened + members


def _escaped(escapes: NDArray[np.intp], length: int) -> Mask:
    """Return which bytes are escaped: those behind an odd number of backslashes.

    Args:
        escapes: where backslashes stand.
    """
    starts = np.flatnonzero(np.diff(escapes, prepend=-2) != 1)
    run = np.zeros(len(escapes), dtype=np.intp)
    run[starts] = np.diff(starts, prepend=0)
    within = np.arange(len(escapes)) - np.cumsum(run)
    found = np.zeros(length + 1, dtype=np.bool_)
    found[escapes[within % 2 == 0] + 1] = True
    return found[:length]
