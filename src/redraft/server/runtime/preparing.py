"""Preparing: templates, tokens and constraints of requests, in threads of their own.

How long this takes, a request decides: so it has a limit of time and of requests that wait for it,
and it ends when its client has left.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from redraft.grammar.budget import Budget, within
from redraft.server.runtime.worker import BusyError

Result = TypeVar("Result")
# Threads for requests with a constraint, and for all others, which wait for no constraint. Two that
# compile take the interpreter from the engine between any two of its operations.
THREADS = 1
PLAIN_THREADS = 4
# Seconds that a constraint may take, whatever its request allows.
SECONDS = 10.0
RETRY_SECONDS = 5


def time_left(seconds: float | None, began: float) -> float | None:
    """Return what is left of some seconds that began at a time of the monotonic clock."""
    return None if seconds is None else max(0.0, seconds - (time.monotonic() - began))


class Queue:
    """Some threads, and the requests that run in them or wait for them.

    Args:
        max_waiting: requests that may wait.
    """

    def __init__(self, threads: int, max_waiting: int) -> None:
        self.limiter = anyio.CapacityLimiter(threads)
        self.capacity = threads + max_waiting
        self.load = 0

    @property
    def full(self) -> bool:
        """True where one more request would be refused."""
        return self.load >= self.capacity


class Preparing:
    """Runs what comes before the engine.

    Args:
        max_waiting: requests that may wait for a thread.
    """

    def __init__(self, max_waiting: int) -> None:
        self.plain = Queue(PLAIN_THREADS, max_waiting)
        self.constrained = Queue(THREADS, max_waiting)

    async def run(
        self, function: Callable[[], Result], seconds: float | None, *, constrained: bool
    ) -> Result:
        """Return the result of a function, called in a thread.

        Cancelling ends the constraints that it compiles, soon after.

        Args:
            seconds: time that the caller waits; None for no limit but that of a constraint.
            constrained: the function may compile constraints.

        Raises:
            BusyError: too many wait. ConstraintLimitError: a constraint takes too long.
        """
        queue = self.constrained if constrained else self.plain
        if queue.full:
            raise BusyError(
                f"{queue.load} requests are being prepared: try again later", RETRY_SECONDS
            )
        budget: Budget | None = None
        ended = False
        began = time.monotonic()

        def prepare() -> Result:
            nonlocal budget
            left = time_left(seconds, began)
            budget = Budget(SECONDS if left is None else min(SECONDS, left), give_way=True)
            if ended:
                budget.cancel()
            with within(budget):
                return function()

        queue.load += 1
        try:
            return await anyio.to_thread.run_sync(
                prepare, limiter=queue.limiter, abandon_on_cancel=True
            )
        finally:
            ended = True
            queue.load -= 1
            if budget is not None:
                budget.cancel()
