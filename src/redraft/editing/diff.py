"""Diffs in the form that git and patch read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from itertools import accumulate, chain, takewhile

_LINE = re.compile(r"[^\n]*\n|[^\n]+")

# Pairs of equal lines that are looked at, of two texts. Beyond it lines are not matched: they are
# removed and added.
MAX_PAIRS = 2_000_000

Opcode = tuple[str, int, int, int, int]


def unified_diff(before: str, after: str, old: str = "before", new: str = "after") -> str:
    """Return the change from one text to another as a unified diff; empty where they are equal."""
    matcher = _Matcher(_LINE.findall(before), _LINE.findall(after))
    hunks = (matcher.hunk(group) for group in matcher.get_grouped_opcodes())
    lines = list(chain.from_iterable(hunks))
    head = [f"--- {old}\n", f"+++ {new}\n"] if lines else []
    return "".join(
        line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"
        for line in head + lines
    )


class _Matcher(difflib.SequenceMatcher[str]):
    """Finds what two texts share.

    Their common beginning and end are not searched: in a large text that is nearly everything. What
    is left is searched within a budget, for the search is quadratic in the lines.
    """

    def __init__(self, before: list[str], after: list[str]) -> None:
        self.before, self.after = before, after
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
        yield f"@@ -{_range(old, old_end)} +{_range(new, new_end)} @@\n"
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
