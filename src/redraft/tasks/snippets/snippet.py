"""Snippets with marks on what may be taken out of them, and the choice of holes that the rest
determines.

In marked text `«...»` is a span that may become a hole, `«!...»` one of those of which at most one
may (each of them is worked out from the others), and a line that begins with `·` is never taken out
whole.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from redraft.tasks.task import Example

MOST_CHARACTERS, MOST_LINES, MOST_TOKENS, MOST_HOLE_TOKENS = 260, 8, 80, 20
# About what a small byte-pair vocabulary makes of a text.
TOKEN = re.compile(r"[ ]?[A-Za-z]+|[0-9]|[ ]+|\n|[^\sA-Za-z0-9]+")
WORD = re.compile(r"[A-Za-z]+|[0-9]+|[<>]")
# Which way a comparison goes is told by any one of these; one of them must be left to read.
DIRECTIONS = (frozenset((">", "over", "largest")), frozenset(("<", "under", "smallest", "up")))


def tokens(text: str) -> int:
    """An estimate of a text's length in tokens."""
    return len(TOKEN.findall(text))


@dataclass(frozen=True)
class Spot:
    """A range of characters that may become a hole; of two holes, at most one may be `tied`."""

    start: int
    end: int
    tied: bool


@dataclass(frozen=True)
class Snippet:
    """A text, where it may have holes, and the words that nobody can guess: they must be left
    standing somewhere."""

    text: str
    spans: tuple[Spot, ...]
    lines: tuple[Spot, ...]
    words: frozenset[str]

    def fits(self) -> bool:
        """Whether it is within the limits of length."""
        lines = self.text.count("\n") + 1
        return (
            len(self.text) <= MOST_CHARACTERS
            and lines <= MOST_LINES
            and tokens(self.text) <= MOST_TOKENS
        )

    def determined(self, *spots: Spot) -> bool:
        """Whether the rest tells what is in these holes: no word is lost, no two of a tie, none
        long, none touches."""
        spots = tuple(sorted(spots, key=lambda spot: spot.start))
        if (
            any(left.end >= right.start for left, right in pairwise(spots))
            or sum(spot.tied for spot in spots) > 1
        ):
            return False
        inside = [self.text[spot.start : spot.end] for spot in spots]
        if any(tokens(part) > MOST_HOLE_TOKENS for part in inside):
            return False
        lost = {word for part in inside for word in WORD.findall(part)}
        seen = set(
            WORD.findall(" ".join(pieces(self.text, [(spot.start, spot.end) for spot in spots])))
        )
        return lost & self.words <= seen and all(not lost & way or seen & way for way in DIRECTIONS)

    def pick(self, count: int, whole: bool, rng: random.Random) -> tuple[tuple[int, int], ...]:
        """Holes: one line if `whole`, one span, or two of either; none where a few tries find
        nothing."""
        spots = self.lines if whole else self.spans if count == 1 else self.spans + self.lines
        # What comes early, and so is told by what follows, is chosen more often.
        weights = [2 if spot.end < len(self.text) / 2 else 1 for spot in spots]
        for _ in range(8 if spots else 0):
            chosen = rng.choices(spots, weights, k=count)
            if self.determined(*chosen):
                return tuple(sorted((spot.start, spot.end) for spot in chosen))
        return ()


def snippet(marked: str, words: Sequence[str]) -> Snippet:
    """Reads marked text."""
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
        # Nobody learns anything from a line of brackets.
        if not line.startswith("·") and WORD.search(line):
            lines.append(Spot(begin, len(text), "«!" in line))
        text += "\n"
    return Snippet(text[:-1], tuple(spans), tuple(lines), frozenset(words))


def pieces(text: str, holes: Sequence[tuple[int, int]]) -> list[str]:
    """What stands before, between and behind the holes: one piece more than there are holes."""
    edges = [0, *(edge for hole in holes for edge in hole), len(text)]
    return [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]


def filled(example: Example, fillings: Sequence[str]) -> str:
    """The answer of an example with its holes filled otherwise."""
    first, *rest = pieces(example.answer, example.holes)
    return first + "".join(filling + piece for filling, piece in zip(fillings, rest, strict=True))
