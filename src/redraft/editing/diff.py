"""Diffs in the form that git and patch read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from itertools import accumulate, chain, takewhile

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
CONTEXT = 3  # lines that are shown around a change

# Pairs of equal lines that are looked at, of two texts. Beyond it lines are not matched: they are
# removed and added.
MAX_PAIRS = 1_000_000
# Lines between what two texts share at their begin and end. Beyond it they are removed and added
# as a whole: to look at each would hold the interpreter.
MAX_LINES = 20_000

Opcode = tuple[str, int, int, int, int]


def unified_diff(before: str, after: str, old: str = "before", new: str = "after") -> str:
    """Return the change from one text to another as a unified diff; empty where they are equal."""
    if before == after:
        return ""
    first, last = _shared_lines(before, after)
    start, end = _last_lines(before, first), _first_lines(before, len(before) - last)
    shown = len(before) - end  # characters behind the diff
    middles = before[first : len(before) - last], after[first : len(after) - last]
    skipped = before.count("\n", 0, start)
    if sum(text.count("\n") for text in middles) > MAX_LINES:
        around = before[start:first], before[len(before) - last : end]
        body = _replaced(around, middles, skipped)
    else:
        texts = before[start:end], after[start : len(after) - shown]
        matcher = _Matcher(_LINE.findall(texts[0]), _LINE.findall(texts[1]), skipped)
        hunks = (matcher.hunk(group) for group in matcher.get_grouped_opcodes(CONTEXT))
        body = "".join(map(_ended, chain.from_iterable(hunks)))
    return f"--- {old}\n+++ {new}\n{body}"


def common_prefix(one: str, other: str, limit: int) -> int:
    """Return the length of the common prefix, at most `limit`: by halves, so that long texts are
    compared as a whole."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _shared_lines(before: str, after: str) -> tuple[int, int]:
    """Return the characters of the whole lines that two texts share at their begin and end."""
    shorter = min(len(before), len(after))
    first = before.rfind("\n", 0, common_prefix(before, after, shorter)) + 1
    last = common_prefix(before[::-1], after[::-1], shorter - first)
    starts = [len(text) - last for text in (before, after)]
    if not all(
        at == first or text[at - 1] == "\n"
        for text, at in zip((before, after), starts, strict=True)
    ):
        line = before.find("\n", starts[0]) + 1
        last = len(before) - line if line else 0
    return first, last


def _last_lines(text: str, end: int) -> int:
    """Return where the last lines before a place begin, as many as are shown."""
    start = end
    for _ in range(CONTEXT):
        start = text.rfind("\n", 0, start - 1) + 1 if start else 0
    return start


def _first_lines(text: str, start: int) -> int:
    """Return where the first lines behind a place end, as many as are shown."""
    for _ in range(CONTEXT):
        start = text.find("\n", start) + 1 or len(text)
    return start


def _replaced(around: tuple[str, str], middles: tuple[str, str], skipped: int) -> str:
    """Return one hunk that puts a text in the place of another, between lines that stay."""
    front, back = around
    kept = _lines(front) + _lines(back)
    old, new = (_range(skipped, skipped + kept + _lines(text)) for text in middles)
    marked = _marked(front, " ") + _marked(middles[0], "-") + _marked(middles[1], "+")
    return f"@@ -{old} +{new} @@\n{marked}{_marked(back, ' ')}"


def _lines(text: str) -> int:
    return text.count("\n") + (text != "" and not text.endswith("\n"))


def _marked(text: str, sign: str) -> str:
    """Return a text with a sign before each line."""
    if not text:
        return ""
    marked = sign + text.removesuffix("\n").replace("\n", f"\n{sign}")
    return _ended(marked + "\n" if text.endswith("\n") else marked)


def _ended(line: str) -> str:
    """Return a line of a diff; of one without an end the next line says so."""
    return line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"


class _Matcher(difflib.SequenceMatcher[str]):
    """Finds what two texts share.

    Their common beginning and end are not searched. What is left is searched within a budget, for
    the search is quadratic in the lines.

    Args:
        skipped: lines of both before these.
    """

    def __init__(self, before: list[str], after: list[str], skipped: int) -> None:
        self.before, self.after, self.skipped = before, after, skipped
        self.first = _alike(zip(before, after, strict=False))
        shorter = min(len(before), len(after)) - self.first
        self.last = min(shorter, _alike(zip(reversed(before), reversed(after), strict=False)))
        searched = before[self.first : len(before) - self.last]
        super().__init__(None, searched, after[self.first : len(after) - self.last])
        places: dict[str, list[int]] = self.b2j  # type: ignore[attr-defined]  # typeshed lacks it
        pairs = (1 + len(places.get(line, ())) for line in searched)
        self._pairs_before = list(accumulate(pairs, initial=0))
        self._budget = MAX_PAIRS

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> difflib.Match:
        """Return the longest match, or none where the budget is used up."""
        ahi = len(self._pairs_before) - 1 if ahi is None else ahi
        self._budget -= self._pairs_before[ahi] - self._pairs_before[alo]
        if self._budget < 0:
            return difflib.Match(alo, blo, 0)
        return super().find_longest_match(alo, ahi, blo, bhi)

    def get_opcodes(self) -> list[Opcode]:  # type: ignore[override]
        """Return the opcodes of the whole texts."""
        first, old, new = self.first, len(self.before), len(self.after)
        moved = [
            (tag, i + first, i_end + first, j + first, j_end + first)
            for tag, i, i_end, j, j_end in super().get_opcodes()
        ]
        front = [("equal", 0, first, 0, first)] if first else []
        back = [("equal", old - self.last, old, new - self.last, new)] if self.last else []
        return [*front, *moved, *back]

    def hunk(self, group: list[Opcode]) -> Iterable[str]:
        """Yield the lines of one hunk."""
        (_, old, _, new, _), (_, _, old_end, _, new_end) = group[0], group[-1]
        skipped = self.skipped
        ranges = (old + skipped, old_end + skipped), (new + skipped, new_end + skipped)
        yield f"@@ -{_range(*ranges[0])} +{_range(*ranges[1])} @@\n"
        for tag, i, i_end, j, j_end in group:
            if tag == "equal":
                yield from (f" {line}" for line in self.before[i:i_end])
                continue
            yield from (f"-{line}" for line in self.before[i:i_end])
            yield from (f"+{line}" for line in self.after[j:j_end])


def _alike(pairs: Iterable[tuple[str, str]]) -> int:
    """Return the number of pairs of equal lines, up to the first that differs."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _range(first: int, end: int) -> str:
    """Lines as a hunk names them: the first counts as 1, an empty range is named by the line before
    it."""
    if end - first == 1:
        return str(first + 1)
    return f"{first + (end > first)},{end - first}"
