"""Mail: what crosses from the engine's thread to a caller's loop, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redraft.errors import RedraftError

BACKLOG = 64  # items that nobody took yet, beyond which those that can be done without are left out


class DeadlineError(RedraftError):
    """The caller would wait no longer."""


class Mail:
    """One caller's queue. Made in the loop that reads it.

    Args:
        seconds: how long the caller waits for all of it; None for as long as it takes.
        spare: which items may be left out where the caller is slow to read.
    """

    def __init__(self, seconds: float | None, spare: Callable[[Any], bool]) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds, self._spare = seconds, spare
        self._ends = None if seconds is None else self._loop.time() + seconds
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()
        self._unread = 0  # close enough, where two threads count

    def put(self, item: Any) -> None:
        """Send something; called by the engine's thread. A caller whose loop is closed does not hear of it."""
        if self._unread >= BACKLOG and self._spare(item):
            return
        self._unread += 1
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, item)

    async def get(self) -> Any:
        """The next item.

        Raises:
            DeadlineError: the caller's time is over.
        """
        try:
            rest = None if self._ends is None else max(0.0, self._ends - self._loop.time())
            item = await asyncio.wait_for(self._arrived.get(), rest)
        except TimeoutError:
            raise DeadlineError(f"the answer took more than {self._seconds:g} seconds") from None
        self._unread -= 1
        return item
