"""Time bound: the events of a text or an infill until a time is over, so that its best draft can be
taken. A `timeout` is another thing: it ends a request with an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

Item = TypeVar("Item")


async def until(
    events: AsyncGenerator[Item, None], seconds: float | None, is_enough: Callable[[], bool]
) -> AsyncGenerator[Item, None]:
    """Yield events until the time is over, then end what makes them.

    Args:
        seconds: None sets no bound.
        is_enough: False where nothing could be taken yet: then the next event is waited for.
    """
    loop = asyncio.get_running_loop()
    ends = None if seconds is None else loop.time() + seconds
    async with aclosing(events):
        while True:
            waiting = asyncio.ensure_future(anext(events))
            try:
                while not waiting.done():
                    left = ends - loop.time() if ends is not None and is_enough() else None
                    if left is not None and left <= 0:
                        return
                    await asyncio.wait({waiting}, timeout=left)
            finally:
                if not waiting.done():
                    waiting.cancel()
                    await asyncio.wait({waiting})
            try:
                item = waiting.result()
            except StopAsyncIteration:
                return
            yield item
