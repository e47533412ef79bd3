"""Preparing: templates, tokens and constraints of requests, in threads of their own.

How long this takes, a request decides: so it has a limit of time and of requests that wait for it,
and it ends when its client has left. Constraints are compiled in processes (see `compilers`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread

from redraft.errors import ConstraintTimeoutError
from redraft.grammar.job import Job, compiling_elsewhere
from redraft.grammar.tokens.lexicon import Lexicon
from redraft.grammar.tokens.token_dfa import TokenDFA
from redraft.server.runtime.compiler import PATIENCE, Ticket
from redraft.server.runtime.compilers import RETRY_SECONDS, Compilers
from redraft.server.runtime.event_queue import DeadlineError
from redraft.server.runtime.lanes import lane_of_request, lanes
from redraft.server.runtime.time_limit import seconds_left
from redraft.server.runtime.worker import BusyError, ClientLeftError, ShuttingDownError

Result = TypeVar("Result")
POLL_SECONDS = 0.05


def time_left(seconds: float | None, began: float) -> float | None:
    """Return what is left of some seconds that began at a time of the monotonic clock."""
    return None if seconds is None else max(0.0, seconds - (time.monotonic() - began))


class Caller:
    """Compiles the constraints of one request in the processes, and waits for them.

    Args:
        slots: threads that work at a time; one that waits for a process is none of them.
        seconds: time that the request has; None for no limit.
    """

    def __init__(
        self, compilers: Compilers, slots: threading.Semaphore, seconds: float | None
    ) -> None:
        self._compilers, self._slots = compilers, slots
        self._seconds, self._began = seconds, time.monotonic()
        self._ticket: Ticket | None = None
        self._cancelled = False

    def __call__(self, job: Job, lexicon: Lexicon) -> TokenDFA | None:
        """Return a compiled constraint."""
        left = time_left(self._seconds, self._began)
        ticket = self._ticket = self._compilers.submit(job, lexicon, left)
        if self._cancelled:
            ticket.cancel()
        self._slots.release()
        try:
            return ticket.future.result(left)
        except TimeoutError:
            ticket.cancel()
            raise ConstraintTimeoutError(
                "the time of the request is over before its constraint is compiled"
            ) from None
        finally:
            self._slots.acquire()

    def cancel(self) -> None:
        """End the constraint that is being compiled, and those to come."""
        self._cancelled = True
        if self._ticket is not None:
            self._ticket.cancel()


class Preparing:
    """Runs what comes before the engine.

    Args:
        max_waiting: requests that may wait for a thread of their lane.
        compilers: the processes for constraints; None for some of its own.
    """

    def __init__(self, max_waiting: int, compilers: Compilers | None = None) -> None:
        self.lanes = lanes(max_waiting)
        self._compilers = compilers or Compilers()
        self._waiting: set[asyncio.Timeout] = set()
        self._ended = False

    async def run(
        self,
        function: Callable[[], Result],
        seconds: float | None,
        *,
        constrained: bool,
        pictures: bool = False,
    ) -> Result:
        """Return the result of a function, called in a thread.

        Cancelling ends the constraints that it compiles, soon after.

        Args:
            seconds: time that the caller waits; None for no limit but those of a constraint and of
                the server.
            constrained: the function may compile constraints. pictures: it decodes images.

        Raises:
            BusyError: too many wait. ConstraintTimeoutError: a constraint takes too long.
            DeadlineError: the time is over. ShuttingDownError: the server ends.
        """
        if self._ended:
            raise ShuttingDownError
        seconds = seconds_left(seconds)
        lane = self.lanes[lane_of_request(pictures)]
        queue = lane.constrained if constrained else lane.plain
        if queue.full:
            raise BusyError(
                f"{queue.load} requests are being prepared: try again later", RETRY_SECONDS
            )
        caller = Caller(self._compilers, lane.slots, seconds)

        place = queue.place()

        def prepare() -> Result:
            if not place.begin():
                raise ClientLeftError("the caller has left")
            try:
                if not constrained:
                    with queue.slots:
                        return function()
                with lane.slots, compiling_elsewhere(caller):
                    return function()
            finally:
                place.end()

        # A constraint that takes too long says so by itself.
        ends = asyncio.timeout(None if seconds is None else seconds + PATIENCE * constrained)
        try:
            async with ends:
                self._waiting.add(ends)
                return await anyio.to_thread.run_sync(
                    prepare, limiter=queue.limiter, abandon_on_cancel=True
                )
        except TimeoutError:
            if not ends.expired():
                raise
            if self._ended:
                raise ShuttingDownError from None
            raise DeadlineError("the request's preparation") from None
        finally:
            self._waiting.discard(ends)
            place.give_up()
            caller.cancel()

    @property
    def full(self) -> bool:
        """True where one more short request would be refused."""
        return self.lanes["short"].plain.full

    def start(self) -> None:
        """Start the process that compiles, before it is needed."""
        self._compilers.start()

    def close(self) -> None:
        """End the processes; who waits for one gets a ShuttingDownError."""
        self._compilers.close()

    async def end(self, seconds: float) -> None:
        """Wait some seconds for what runs; then who still waits gets a ShuttingDownError."""
        last = time.monotonic() + seconds
        while self._waiting and time.monotonic() < last:
            await asyncio.sleep(POLL_SECONDS)
        self._ended = True
        for ends in self._waiting:
            ends.reschedule(0.0)
