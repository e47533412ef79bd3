"""How deep what refers to itself may nest.

Names that refer to one another in a circle are one component. On the way down a step back in their
order (of a walk from the start) is one level of nesting; every circle has such a step, so that
levels end all recursion, and what a name stands for depends on the name and the level alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

Found = TypeVar("Found")


class Nesting:
    """The levels of names.

    Args:
        start: the name that everything is reached from.
        follow: the names that a name refers to.
    """

    def __init__(self, start: str, follow: Callable[[str], Iterable[str]]) -> None:
        self._order: dict[str, int] = {}
        self._edges: dict[str, list[str]] = {}
        left = [start]
        while left:
            name = left.pop()
            if name not in self._order:
                self._order[name] = len(self._order)
                self._edges[name] = list(follow(name))
                left += reversed(self._edges[name])
        self._reached = {name: self._all_from(name) for name in self._order}
        self._open: list[tuple[str, int]] = []

    def _all_from(self, name: str) -> frozenset[str]:
        found: set[str] = set()
        left = list(self._edges[name])
        while left:
            other = left.pop()
            if other not in found:
                found.add(other)
                left += self._edges[other]
        return frozenset(found)

    def level(self, name: str) -> int:
        """At which level a name would be followed from where we are."""
        if not self._open:
            return 0
        above, level = self._open[-1]
        if name not in self._reached[above] or above not in self._reached[name]:
            return 0
        return level + (self._order[name] <= self._order[above])

    def inside(self, name: str, work: Callable[[], Found]) -> Found:
        """Do some work one name further down."""
        self._open.append((name, self.level(name)))
        try:
            return work()
        finally:
            self._open.pop()
