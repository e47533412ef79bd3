"""Nesting: how deep a recursive definition is expanded.

Names (of rules, or of subschemas) refer to one another. Names on a common cycle are one strongly
connected component. Number all names in the order of a walk from the start; within a component, a
reference to a name that is not later in this order is one level of nesting. Every cycle has such a
reference, so a limit on the level ends all recursion. The expansion of a name depends only on the
name and its level, so that it is computed once for each pair. Several names may be expanded
together, as one thing that is all of them; then the expansion depends on the set.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import product
from typing import TypeVar

from redraft.grammar.budget import spend

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
        # The sets of names that are being expanded, outermost first, each with its level.
        self._open: list[tuple[frozenset[str], int]] = []

    def _all_from(self, name: str) -> frozenset[str]:
        found: set[str] = set()
        left = list(self._references[name])
        while left:
            other = left.pop()
            if other not in found:
                found.add(other)
                left += self._references[other]
                spend(1 + len(self._references[other]), held=1)
        return frozenset(found)

    @property
    def leaves_first(self) -> list[str]:
        """All names, those that others refer to before these, as far as there is no cycle."""
        return list(reversed(self._order))

    @property
    def here(self) -> tuple[frozenset[str], int]:
        """The names that are being expanded, and their level."""
        return self._open[-1] if self._open else (frozenset(), 0)

    def level(self, names: Collection[str], kept: Collection[str] = ()) -> int:
        """Return the level of names that are referred to, if they were expanded now.

        Args:
            kept: names that are expanded together with them, without a reference.
        """
        above, level = self.here
        if not any(self._is_cycle(*pair) for pair in product(above, (*names, *kept))):
            return 0
        return level + any(self._is_nested(*pair) for pair in product(above, names))

    def _is_cycle(self, above: str, name: str) -> bool:
        return name in self._reachable[above] and above in self._reachable[name]

    def _is_nested(self, above: str, name: str) -> bool:
        return self._is_cycle(above, name) and self._order[name] <= self._order[above]

    def expand(self, names: Collection[str], level: int, work: Callable[[], T]) -> T:
        """Call `work` with names open at a level, and return its result."""
        self._open.append((frozenset(names), level))
        try:
            return work()
        finally:
            self._open.pop()
