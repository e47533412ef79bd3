"""Worker: the thread that runs one model. Everything else is asyncio and never waits for a step."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue

from redraft.engine import Engine, Request, Work
from redraft.errors import RedraftError, RequestError
from redraft.events import Completed, Draft, EngineEvent, Failed, Finished
from redraft.server.runtime.event_queue import EventQueue
from redraft.server.runtime.time_limit import earliest_deadline, seconds_left

log = logging.getLogger("redraft.server")
FINAL = Finished | Completed | Failed
Events = AsyncGenerator[tuple[int, EngineEvent], None]


# Seconds of a stop that are left for sending errors to those who did not come to their end.
REPLY_SECONDS = 1.0
# Ends of requests from which the rate is estimated, and the greatest advice to wait, in seconds.
RECENT, MAX_WAIT = 32, 60


class BusyError(RedraftError):
    """The waiting queue is full.

    Attributes:
        retry_after: seconds after which a place is likely to be free.
    """

    def __init__(self, message: str, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class ClientLeftError(RedraftError):
    """Nobody waits for the answer any more."""


class ShuttingDownError(RedraftError):
    """The server ends; the request can be sent again to the next one."""

    def __init__(self) -> None:
        super().__init__("the server is shutting down")


class Worker:
    """Runs the requests of any number of callers in one engine, which they join and leave between
    steps.

    Args:
        max_waiting: requests that may wait beside a full batch.
    """

    def __init__(self, engine: Engine, *, max_batch_size: int = 8, max_waiting: int = 64) -> None:
        self.engine = engine
        self._capacity = max_batch_size + max_waiting
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        # By the engine's number; only the thread reads and writes it.
        self._callers: dict[int, Callable[[EngineEvent], None]] = {}
        self._admitted = 0
        self._lock = threading.Lock()
        self._closing = False
        self._queues: set[EventQueue[tuple[int, EngineEvent]]] = set()
        self._ended_at: deque[float] = deque(maxlen=RECENT)
        self._thread = threading.Thread(target=self._run, name="redraft-engine", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """True while the engine's thread runs."""
        return self._thread.is_alive()

    @property
    def load(self) -> int:
        """Number of requests that run or wait."""
        return self._admitted

    @property
    def full(self) -> bool:
        """True where one more request would be refused."""
        return self._admitted >= self._capacity

    async def events(
        self,
        requests: Sequence[Request | Work],
        seconds: float | None = None,
        *,
        drafts: bool = True,
        follow_up: bool = False,
        deadline: float | None = None,
    ) -> Events:
        """Yield `(index, event)` for every request until all have finished.

        Closing the generator cancels those that have not.

        Args:
            seconds: time that the caller waits; None waits as long as the server's limit admits.
            drafts: False leaves out Draft events; some are left out where the caller is slow.
            deadline: time of `time.monotonic` from which on the best draft is taken for the result.
            follow_up: these are part of a request that was admitted before: there is room for them.

        Raises:
            BusyError: the waiting queue is full. ShuttingDownError: the worker is closing.
                DeadlineError: the time is over.
        """
        if len(requests) > self._capacity and not follow_up:
            raise RequestError(
                f"{len(requests)} choices are more than this server writes at a time "
                f"({self._capacity})"
            )
        deadline = earliest_deadline(deadline)
        queue: EventQueue[tuple[int, EngineEvent]] = EventQueue(
            seconds_left(seconds), lambda item: isinstance(item[1], Draft)
        )
        numbers: dict[int, int] = {}  # index -> the engine's number; the thread writes it

        def add(index: int, request: Request | Work) -> None:
            def deliver(event: EngineEvent) -> None:
                queue.put((index, event))

            try:
                group = numbers.get(0)
                number = numbers[index] = self.engine.add(
                    request, drafts=drafts, group=group, deadline=deadline
                )
            except Exception as error:
                self._release()
                deliver(Failed(request=-1, error=error))
            else:
                self._callers[number] = deliver

        commands = [partial(add, index, request) for index, request in enumerate(requests)]
        self._admit(commands, follow_up=follow_up)
        left = set(range(len(requests)))
        self._queues.add(queue)
        try:
            while left:
                index, event = await queue.get()
                if isinstance(event, FINAL):
                    left.discard(index)
                yield index, event
        finally:
            self._queues.discard(queue)
            if left:
                self._inbox.put(lambda: self._leave([numbers.get(index) for index in left]))

    def close(self, grace: float = 8.0) -> None:
        """Take no more requests, and give those that run `grace` seconds to finish.

        The callers of the others get a ShuttingDownError a second before the time is over, even
        while a long step runs.
        """
        with self._lock:
            self._closing = True
        self._inbox.put(lambda: None)
        self._thread.join(max(0.0, grace - REPLY_SECONDS))
        if self._thread.is_alive():
            for queue in list(self._queues):
                queue.fail(ShuttingDownError())
            self._inbox.put(self._cancel_all)
            self._thread.join(REPLY_SECONDS)

    def _admit(self, commands: Sequence[Callable[[], None]], *, follow_up: bool) -> None:
        """Hand requests to the thread, all or none."""
        count = len(commands)
        with self._lock:
            if self._closing:
                raise ShuttingDownError
            if self._admitted + count > self._capacity and not follow_up:
                raise BusyError(
                    f"{self._admitted} requests run or wait, and the server takes "
                    f"{self._capacity}: try again later",
                    self._seconds_to_an_end(),
                )
            self._admitted += count
            for command in commands:
                self._inbox.put(command)

    def _release(self) -> None:
        with self._lock:
            self._admitted -= 1
            self._ended_at.append(time.monotonic())

    def _seconds_to_an_end(self) -> int:
        """Estimate when the next request ends, from the mean time between the last ends."""
        ends = self._ended_at
        if len(ends) < 2:
            return 1
        interval = (ends[-1] - ends[0]) / (len(ends) - 1)
        since = time.monotonic() - ends[-1]
        # Where the last end is longer ago than usual, the requests that run now are longer.
        return min(MAX_WAIT, max(1, math.ceil(max(interval, since))))

    def _run(self) -> None:
        while self.engine.busy or not (self._closing and self._inbox.empty()):
            try:
                self._obey()
                if self.engine.busy:
                    for event in self.engine.step():
                        self._deliver(event)
            except Exception as error:
                log.exception("the engine failed: every request gets the error")
                self._fail_all(error)

    def _obey(self) -> None:
        """Run the commands in the inbox; where there is nothing else to do, wait for one."""
        with suppress(Empty):
            while True:
                self._inbox.get(block=not self.engine.busy and not self._closing)()

    def _deliver(self, event: EngineEvent) -> None:
        deliver = self._callers.get(event.request)
        if deliver is None:
            return
        if isinstance(event, FINAL):
            del self._callers[event.request]
            self._release()
        deliver(event)

    def _leave(self, numbers: Sequence[int | None]) -> None:
        """Cancel requests whose caller has left; None was never added."""
        for number in numbers:
            if number is not None:
                self._cancel(number, ClientLeftError("the caller has left"))

    def _cancel(self, number: int, error: Exception) -> None:
        """Cancel a request: it ends with what was committed, or with the error."""
        for event in self.engine.cancel(number):
            self._deliver(event)
        self._deliver(Failed(request=number, error=error))

    def _cancel_all(self) -> None:
        for number in list(self._callers):
            self._cancel(number, ShuttingDownError())

    def _fail_all(self, error: Exception) -> None:
        """Give every caller the error, and begin anew with an empty engine."""
        for number in list(self._callers):
            self.engine.cancel(number)
            self._deliver(Failed(request=number, error=error))
