"""Nesting: how deep a recursive definition is expanded.

Names (of rules, or of subschemas) refer to one another. Names on a common cycle are one strongly
connected component. Number all names in the order of a walk from the start; within a component, a
reference to a name that is not later in this order is one level of nesting. Every cycle has such a
reference, so a limit on the level ends all recursion. The expansion of a name depends only on the
name and its level, so that it is computed once for each pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


class Nesting:
    """The levels of nesting of names during an expansion.

    Args:
        start: the name from which all others are reached.
        references: the names that a name refers to.
    """

    def __init__(self, start: str, references: Callable[[str], Iterable[str]]) -> None:
        self._order: dict[str, int] = {}
        self._references: dict[str, list[str]] = {}
        left = [start]
        while left:
            name = left.pop()
            if name not in self._order:
                self._order[name] = len(self._order)
                self._references[name] = list(references(name))
                left += reversed(self._references[name])
        self._reachable = {name: self._all_from(name) for name in self._order}
        # The names that are being expanded, outermost first, each with its level.
        self._open: list[tuple[str, int]] = []

    def _all_from(self, name: str) -> frozenset[str]:
        found: set[str] = set()
        left = list(self._references[name])
        while left:
            other = left.pop()
            if other not in found:
                found.add(other)
                left += self._references[other]
        return frozenset(found)

    def level(self, name: str) -> int:
        """Return the level of a name if it were expanded now."""
        if not self._open:
            return 0
        above, level = self._open[-1]
        if name not in self._reachable[above] or above not in self._reachable[name]:
            return 0
        return level + (self._order[name] <= self._order[above])

    def expand(self, name: str, work: Callable[[], T]) -> T:
        """Call `work` with a name open, and return its result."""
        self._open.append((name, self.level(name)))
        try:
            return work()
        finally:
            self._open.pop()
