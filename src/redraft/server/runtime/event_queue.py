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
        self._spare = spare
        self._ends = None if seconds is None else self._loop.time() + seconds
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()
        self._unread = 0  # close enough, where two threads count

    def put(self, item: Any) -> None:
        """Send something; called by the engine's thread. A caller whose loop is closed does not
        hear of it."""
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
            async with asyncio.timeout_at(self._ends):
                if self.late:
                    raise TimeoutError
                item = await self._arrived.get()
        except TimeoutError:
            raise DeadlineError(
                "the answer took longer than the `timeout` that was asked for"
            ) from None
        self._unread -= 1
        return item

    @property
    def late(self) -> bool:
        """Whether the caller's time is over."""
        return self._ends is not None and self._loop.time() >= self._ends
