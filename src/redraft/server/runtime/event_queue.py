"""Event queue: what crosses from the engine's thread to a caller's event loop, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from redraft.errors import RedraftError

MAX_UNREAD = 64  # beyond it items that can be left out are left out
Item = TypeVar("Item")


class DeadlineError(RedraftError):
    """The request took longer than its `timeout`, or than the server's.

    Args:
        what: what took so long.
    """

    def __init__(self, what: str = "the answer") -> None:
        super().__init__(f"{what} took longer than the request's `timeout`, or the server's")


class EventQueue(Generic[Item]):
    """One caller's queue. Made in the event loop that reads it.

    Args:
        seconds: time that the caller waits for everything; None waits as long as it takes.
        is_optional: True for items that may be left out where the caller is slow to read.
    """

    def __init__(self, seconds: float | None, is_optional: Callable[[Item], bool]) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_optional = is_optional
        self._deadline = None if seconds is None else self._loop.time() + seconds
        self._items: asyncio.Queue[Item | None] = asyncio.Queue()
        self._unread = 0  # two threads count: it is close enough
        self._failed: Exception | None = None

    def put(self, item: Item) -> None:
        """Send an item from the engine's thread. A caller whose loop is closed does not get it."""
        if self._unread >= MAX_UNREAD and self._is_optional(item):
            return
        self._unread += 1
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)

    def fail(self, error: Exception) -> None:
        """Make the caller get an error at once, in place of what it has not read. Any thread."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._fail, error)

    def _fail(self, error: Exception) -> None:
        self._failed = error
        self._items.put_nowait(None)

    async def get(self) -> Item:
        """Return the next item.

        Raises:
            DeadlineError: the caller's time is over. Exception: the error given to `fail`.
        """
        try:
            async with asyncio.timeout_at(self._deadline):
                if self.late:
                    raise TimeoutError
                item = await self._items.get()
        except TimeoutError:
            raise DeadlineError from None
        if self._failed is not None:
            raise self._failed
        assert item is not None
        self._unread -= 1
        return item

    @property
    def late(self) -> bool:
        """True once the caller's time is over."""
        return self._deadline is not None and self._loop.time() >= self._deadline
