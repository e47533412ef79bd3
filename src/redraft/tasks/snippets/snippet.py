"""Snippet: a text with marks on the spans that may become holes.

In marked text `«...»` is a span that may become a hole. Of the spans `«!...»` at most one may,
because each follows from the others. A line that begins with `·` is never a hole as a whole.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from redraft.tasks.task import Example, outside

MAX_CHARACTERS = 260
MAX_LINES = 8
MAX_TOKENS = 80
MAX_HOLE_TOKENS = 20
# How often a choice of holes is tried.
TRIES = 8
# About the tokens that a small byte-pair vocabulary makes of a text.
TOKEN = re.compile(r"[ ]?[A-Za-z]+|[0-9]|[ ]+|\n|[^\sA-Za-z0-9]+")
WORD = re.compile(r"[A-Za-z]+|[0-9]+|[<>]")
# Words that say the direction of a comparison: outside the holes there must be one of them.
DIRECTIONS = (frozenset((">", "over", "largest")), frozenset(("<", "under", "smallest", "up")))


def count_tokens(text: str) -> int:
    """Estimate the number of a text's tokens."""
    return len(TOKEN.findall(text))


@dataclass(frozen=True)
class Spot:
    """A range of characters that may become a hole; at most one hole of a snippet may be `tied`."""

    start: int
    end: int
    tied: bool


@dataclass(frozen=True)
class Snippet:
    """A text and its possible holes.

    Attributes:
        spans: spans that may become holes.
        lines: whole lines that may.
        words: words that cannot be guessed, so each must also occur outside the holes.
    """

    text: str
    spans: tuple[Spot, ...]
    lines: tuple[Spot, ...]
    words: frozenset[str]

    def fits(self) -> bool:
        """Return True where the text is within the limits of length."""
        lines = self.text.count("\n") + 1
        return (
            len(self.text) <= MAX_CHARACTERS
            and lines <= MAX_LINES
            and count_tokens(self.text) <= MAX_TOKENS
        )

    def determined(self, *spots: Spot) -> bool:
        """Return True where the rest determines the text of these holes.

        No word is lost, at most one hole is tied, none is long, and no two touch.
        """
        spots = tuple(sorted(spots, key=lambda spot: spot.start))
        if (
            any(left.end >= right.start for left, right in pairwise(spots))
            or sum(spot.tied for spot in spots) > 1
        ):
            return False
        inside = [self.text[spot.start : spot.end] for spot in spots]
        if any(count_tokens(part) > MAX_HOLE_TOKENS for part in inside):
            return False
        holes = [(spot.start, spot.end) for spot in spots]
        lost = set(WORD.findall("\n".join(inside)))
        seen = set(WORD.findall(" ".join(outside(self.text, holes))))
        return lost & self.words <= seen and all(not lost & way or seen & way for way in DIRECTIONS)

    def pick(self, count: int, whole: bool, rng: random.Random) -> tuple[tuple[int, int], ...]:
        """Choose holes: one line if `whole`, else one span, or two spans or lines.

        Returns:
            The holes in order, or none where TRIES tries find nothing.
        """
        spots = self.lines if whole else self.spans if count == 1 else self.spans + self.lines
        # Early spots are chosen more often: the text behind them is what determines them.
        weights = [2 if spot.end < len(self.text) / 2 else 1 for spot in spots]
        for _ in range(TRIES if spots else 0):
            chosen = rng.choices(spots, weights, k=count)
            if self.determined(*chosen):
                return tuple(sorted((spot.start, spot.end) for spot in chosen))
        return ()


def snippet(marked: str, words: Sequence[str]) -> Snippet:
    """Build a Snippet from marked text."""
    text, spans, lines = "", [], []
    for line in marked.split("\n"):
        begin, start, one_of = len(text), 0, False
        for part in re.split("(«!?|»)", line.removeprefix("·")):
            if part.startswith("«"):
                start, one_of = len(text), part == "«!"
            elif part == "»":
                spans.append(Spot(start, len(text), one_of))
            else:
                text += part
        # A line of brackets teaches nothing.
        if not line.startswith("·") and WORD.search(line):
            lines.append(Spot(begin, len(text), "«!" in line))
        text += "\n"
    return Snippet(text[:-1], tuple(spans), tuple(lines), frozenset(words))


def filled(example: Example, fills: Sequence[str]) -> str:
    """Return the answer of an example with other fills in its holes."""
    first, *rest = outside(example.answer, example.holes)
    return first + "".join(fill + piece for fill, piece in zip(fills, rest, strict=True))
