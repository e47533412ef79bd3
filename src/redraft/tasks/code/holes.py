"""Holes in real Python: a span, a line, several lines, two holes, many, or an open canvas.

Text positions are characters. A text is cut where the line of the first hole begins: what stands
before is the prompt, as in `redraft.editing.layout`, and the rest is the answer.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from redraft.tasks.code.snippet import enclosing
from redraft.tasks.code.store import open_corpus
from redraft.tasks.task import Example

SPAN, LINE, TWO, LINES, MANY, OPEN = range(1, 7)
# How often each kind is drawn. Many holes give most to learn from one canvas.
WEIGHTS = {SPAN: 5, LINE: 5, TWO: 2, LINES: 3, MANY: 4, OPEN: 1}
MAX_LINES = 6
MAX_HOLE_CHARACTERS = 220  # characters: the longest hole, about half of a canvas
BEFORE, BEHIND = 1600, 1000  # characters of context, more than the tokens that are read
PROSE_KEPT = 0.2  # share of the holes in comments and docstrings that are kept
SNIPPETS = 0.3  # share of the examples that are a function by itself
INDENTED = 0.3  # share of the whole lines that are taken out with their indentation
NAMES = 0.35  # share of the spans that are one name, which stands in the text before
LETTERS = 0.1  # share of the spans that begin and end anywhere, also inside a word
TO_THE_END = 0.3  # share of the other spans that end where the line does
SPACED = 0.3  # share of the spans that begin with the space before them
LEXEME = re.compile(r"\w+|[^\w\s]+|\s+")
NAME = re.compile(r"[A-Za-z_]\w{2,}")
TRIES = 50

Range = tuple[int, int]


@dataclass(frozen=True)
class CodeExample(Example):
    """Source with holes: `prompt` is the text before the canvas, `answer` the text from there on.

    ends: the text ends where `answer` does; otherwise it goes on. Without holes all of the canvas
    is to be written.
    """

    ends: bool = False


@dataclass(frozen=True)
class Code:
    """Examples from a split of a corpus (see `redraft.tasks.code.store`).

    difficulty: 1 a span in a line, 2 a line, 3 two holes, 4 several lines, 5 many holes, 6 open.
    """

    corpus: str = "python"
    split: str = "train"
    name: str = "code"

    def draw(self, rng: random.Random) -> CodeExample:
        """Return an example from a random place of the corpus."""
        (kind,) = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
        corpus = open_corpus(self.corpus, self.split)
        while True:
            text = corpus.read(corpus.at(rng.randrange(len(corpus))))
            example = of_text(text, kind, rng)
            if example is not None:
                return example

    def check(self, example: Example, text: str) -> bool:
        """Check that a text is the answer, to the letter: nobody else's code can be judged."""
        return text == example.answer


def of_text(text: str, kind: int, rng: random.Random) -> CodeExample | None:
    """Return an example of `kind` at a random place of a file; None where a few tries fail."""
    for _ in range(TRIES):
        at = rng.randrange(len(text))
        start, end = _line(text, at)
        line = text[start:end]
        if not line.strip() or (_is_prose(text, start) and rng.random() > PROSE_KEPT):
            continue
        first, last, ends = max(0, start - BEFORE), min(len(text), end + BEHIND), False
        if rng.random() < SNIPPETS:
            first, last = enclosing(text, start) or (first, last)
            ends = True
        ends = ends or last == len(text)
        holes = _holes(text, kind, start, last, rng)
        if holes is None:
            continue
        cut = text.rfind("\n", 0, holes[0][0]) + 1 if holes else start
        moved = tuple((one - cut, other - cut) for one, other in holes)
        return CodeExample(text[first:cut], text[cut:last], kind, moved, ends)
    return None


def _holes(
    text: str, kind: int, start: int, limit: int, rng: random.Random
) -> tuple[Range, ...] | None:
    """Return the holes of a kind, the first in the line at `start`, all before `limit`."""
    if kind == OPEN:
        return ()
    lines = _lines_from(text, start, limit)
    if kind == SPAN:
        found = [span(text, *lines[0], rng)]
    elif kind == LINE:
        found = [_whole(text, *lines[0], rng)]
    elif kind == LINES:
        last = lines[min(len(lines), rng.randint(2, MAX_LINES)) - 1]
        found = [(_whole(text, *lines[0], rng)[0], last[1])]
    else:
        most, share = (2, 0.6) if kind == TWO else (len(lines), 0.6)
        found = []
        for line in lines:
            if len(found) < most and (not found or rng.random() < share):
                make = _whole if rng.random() < 0.4 else span
                found.append(make(text, *line, rng))
    holes = [hole for hole in found if hole is not None]
    if any(last - first > MAX_HOLE_CHARACTERS or last <= first for first, last in holes):
        return None
    needed = 2 if kind == TWO else 1
    return tuple(holes) if len(holes) >= needed and len(holes) == len(found) else None


def span(text: str, start: int, end: int, rng: random.Random) -> Range | None:
    """Return a range inside a line: a name known from before, a run of lexemes, or any letters."""
    line = text[start:end]
    if rng.random() < NAMES:
        before = text[max(0, start - BEFORE) : start]
        names = [found.span() for found in NAME.finditer(line) if found[0] in before]
        if names:
            first, last = rng.choice(names)
            return start + first, start + last
    if rng.random() < LETTERS:
        first = rng.randrange(len(line))
        return start + first, start + min(len(line), first + rng.randint(1, 16))
    lexemes = [found.span() for found in LEXEME.finditer(line) if not found[0].isspace()]
    if not lexemes:
        return None
    number = rng.randrange(len(lexemes))
    count = len(lexemes) if rng.random() < TO_THE_END else min(rng.randint(1, 8), rng.randint(1, 8))
    first = lexemes[number][0]
    last = lexemes[min(len(lexemes), number + count) - 1][1]
    if first and line[first - 1] == " " and line[:first].strip() and rng.random() < SPACED:
        first -= 1
    return start + first, start + last


def _whole(text: str, start: int, end: int, rng: random.Random) -> Range:
    """Return a line, with its indentation or without."""
    line = text[start:end]
    indent = 0 if rng.random() < INDENTED else len(line) - len(line.lstrip())
    return start + indent, end


def _line(text: str, at: int) -> Range:
    """Return the line that a character stands in, without its newline."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    return start, len(text) if end < 0 else end


def _lines_from(text: str, start: int, limit: int, max_lines: int = 14) -> list[Range]:
    """Return the lines from `start` on that are not blank, the first always."""
    found: list[Range] = []
    while start < len(text) and len(found) < max_lines:
        line = _line(text, start)
        if found and line[1] > limit:
            break
        if text[line[0] : line[1]].strip():
            found.append(line)
        start = line[1] + 1
    return found


def _is_prose(text: str, start: int) -> bool:
    """Check whether a line is a comment or seems to stand in a docstring."""
    line = text[start : start + 200].lstrip(" ")
    return line.startswith(("#", '"""')) or text.count('"""', 0, start) % 2 == 1
