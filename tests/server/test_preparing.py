"""What comes before the engine has threads, a queue and a time of its own."""

from __future__ import annotations

import asyncio

import pytest

from redraft.errors import ConstraintLimitError
from redraft.grammar import Regex
from redraft.server.runtime.preparing import THREADS, Preparing
from redraft.server.runtime.worker import BusyError


def endless() -> None:
    while True:
        Regex("(a?b){300}")


def start(preparing: Preparing, count: int, seconds: float | None) -> list[asyncio.Future[None]]:
    """Start constraints that never end by themselves."""
    return [
        asyncio.ensure_future(preparing.run(endless, seconds, constrained=True))
        for _ in range(count)
    ]


def test_who_leaves_ends_the_work() -> None:
    async def run() -> None:
        preparing = Preparing(4)
        running = start(preparing, THREADS, None)
        await asyncio.sleep(0.2)
        waiting = asyncio.ensure_future(preparing.run(lambda: "done", None, constrained=True))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        for task in running:
            task.cancel()
        assert await asyncio.wait_for(waiting, 30) == "done"
        assert preparing.constrained.load == 0

    asyncio.run(run())


def test_the_time_of_the_request_ends_it() -> None:
    with pytest.raises(ConstraintLimitError, match="seconds"):
        asyncio.run(Preparing(4).run(endless, 0.2, constrained=True))


def test_who_waits_longer_than_its_time_does_not_begin() -> None:
    async def run() -> None:
        preparing = Preparing(4)
        running = start(preparing, THREADS, 0.5)
        await asyncio.sleep(0.1)
        with pytest.raises(ConstraintLimitError):
            await preparing.run(endless, 0.05, constrained=True)
        await asyncio.gather(*running, return_exceptions=True)

    asyncio.run(run())


def test_more_than_may_wait_are_told_so() -> None:
    async def run() -> None:
        preparing = Preparing(1)
        running = start(preparing, THREADS + 1, 0.3)
        await asyncio.sleep(0.05)
        assert preparing.constrained.full
        with pytest.raises(BusyError, match="try again"):
            await preparing.run(endless, None, constrained=True)
        await asyncio.gather(*running, return_exceptions=True)
        assert not preparing.constrained.full

    asyncio.run(run())


def test_a_request_without_a_constraint_waits_for_none() -> None:
    async def run() -> None:
        preparing = Preparing(4)
        running = start(preparing, THREADS + 2, 0.5)
        await asyncio.sleep(0.05)
        assert await preparing.run(lambda: "done", None, constrained=False) == "done"
        assert not any(task.done() for task in running)
        await asyncio.gather(*running, return_exceptions=True)

    asyncio.run(run())
