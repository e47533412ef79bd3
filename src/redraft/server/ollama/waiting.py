"""Calls of an assistant's message that have no result yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

Call = tuple[Any, str]  # id and name


class Waiting:
    """The calls of one message, found by id, by name, or in their order, each in constant time."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = calls
        self._answered: set[int] = set()
        self._order = deque(range(len(calls)))
        self._by_id: dict[str, deque[int]] = {}
        self._by_name: dict[str, deque[int]] = {}
        for number, call in enumerate(calls):
            for key, queues in zip(call, (self._by_id, self._by_name), strict=True):
                if isinstance(key, str):
                    queues.setdefault(key, deque()).append(number)

    def take(self, name: object, tool: object) -> Call | None:
        """Return the call that a result belongs to, which then no longer waits: the first of that
        id, else the first of that tool, else, where no tool is named, the first."""
        named = self._order if tool is None else self._queue(self._by_name, tool)
        for queue in (self._queue(self._by_id, name), named):
            while queue:
                number = queue.popleft()
                if number not in self._answered:
                    self._answered.add(number)
                    return self._calls[number]
        return None

    @staticmethod
    def _queue(queues: dict[str, deque[int]], key: object) -> deque[int]:
        return queues.get(key, deque()) if isinstance(key, str) else deque()
