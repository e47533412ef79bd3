"""Worker: the thread that runs one model. Everything else is asyncio and never waits for a step."""

from __future__ import annotations

import logging
import threading
import traceback
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from redraft.engine import Engine, Request, Share
from redraft.errors import RedraftError, RequestError
from redraft.events import Draft, Event, Failed, Finished
from redraft.server.runtime.event_queue import Mail

log = logging.getLogger("redraft.server")


class BusyError(RedraftError):
    """As many requests wait as may wait."""


@dataclass(frozen=True)
class Task:
    """Work beside the batch, such as holes to fill: an iterator whose every step is a pass or so.

    passes: begins it, on the engine's thread; None means that a pass had nothing to tell. share:
    what it holds in memory.
    """

    passes: Callable[[], Iterator[Any]]
    share: Share


@dataclass(frozen=True)
class _Ended:
    """A task is through, or failed."""

    error: Exception | None = None


def _begun(task: Task) -> Iterator[Any]:
    """Its passes. What fails before the first of them fails as they do."""
    yield from task.passes()


class Worker:
    """Runs requests of any number of callers in one batch, which they join and leave between steps,
    and tasks, which take turns with it.

    Args:
        max_waiting: requests and tasks that may wait beside a full batch.
    """

    def __init__(self, engine: Engine, *, max_batch_size: int = 8, max_waiting: int = 64) -> None:
        self.engine = engine
        self._places = max_batch_size
        self._room = max_batch_size + max_waiting
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._callers: dict[
            int, Callable[[Event | Failed], None]
        ] = {}  # by the engine's number; the thread's own
        self._tasks: dict[int, tuple[Iterator[Any], Mail]] = {}  # those that run; the thread's own
        self._queue: deque[tuple[int, Task, Mail]] = deque()
        self._next_task = -1  # the engine's numbers are not negative
        self._admitted = 0
        self._lock = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="redraft-engine", daemon=True)
        self._thread.start()

    @property
    def load(self) -> int:
        """Requests and tasks that run or wait."""
        return self._admitted

    async def events(
        self, requests: Sequence[Request], seconds: float | None = None, *, drafts: bool = True
    ) -> AsyncGenerator[tuple[int, Event | Failed], None]:
        """The events of requests, each with its place among them, until all have ended. Whoever
        leaves before cancels the rest. Without `drafts`, those of the steps are left out; some are
        where the caller is slow.

        Raises:
            BusyError: there is no room for them, or the worker is closing. DeadlineError: they took
                more than `seconds`.
        """
        if len(requests) > self._room:
            raise RequestError(
                f"{len(requests)} choices are more than this server writes at a time ({self._room})"
            )
        mail = Mail(seconds, lambda item: isinstance(item[1], Draft))
        numbers: dict[int, int] = {}  # place -> the engine's number; written by the thread

        def start(place: int, request: Request) -> Callable[[], None]:
            def deliver(event: Event | Failed) -> None:
                if drafts or not isinstance(event, Draft):
                    mail.put((place, event))

            def add() -> None:
                try:
                    number = numbers[place] = self.engine.add(request)
                except Exception as error:
                    self._release()
                    deliver(Failed(request=-1, error=error))
                else:
                    self._callers[number] = deliver

            return add

        self._admit([start(place, request) for place, request in enumerate(requests)])
        left = set(range(len(requests)))
        try:
            while left:
                place, event = await mail.get()
                if isinstance(event, Finished | Failed):
                    left.discard(place)
                yield place, event
        finally:
            for place in left:
                self._inbox.put(lambda place=place: self._cancel(numbers.get(place, 1 << 62)))  # type: ignore[misc]

    async def run(
        self,
        task: Task,
        seconds: float | None = None,
        *,
        drafts: bool = True,
        follows: bool = False,
    ) -> AsyncGenerator[Any, None]:
        """What a task tells; deadline, drafts, leaving, and errors as above, and the task's own.
        One that `follows` is part of
        what was let in before: there is always room for it."""
        mail = Mail(seconds, lambda item: isinstance(item, Draft))
        number: list[int] = []

        def add() -> None:
            try:
                self.engine.memory.check(task.share)
            except RequestError as error:
                self._release()
                mail.put(_Ended(error))
                return
            number.append(self._next_task)
            self._next_task -= 1
            self._queue.append((number[0], task, mail))

        def leave() -> None:
            for one in number:
                self._end(one)

        self._admit([add], follows=follows)
        ended = False
        try:
            while True:
                item = await mail.get()
                if isinstance(item, _Ended):
                    ended = True
                    if item.error is not None:
                        raise item.error
                    return
                if drafts or not isinstance(item, Draft):
                    yield item
        finally:
            if not ended:
                self._inbox.put(leave)

    def close(self, wait: float = 10.0) -> None:
        """Take no more requests, finish those that run for `wait` seconds, cancel the rest."""
        with self._lock:
            self._closing = True
        self._inbox.put(lambda: None)
        self._thread.join(wait)
        if self._thread.is_alive():
            self._inbox.put(self._cancel_all)
            self._thread.join(wait)

    def _admit(self, begin: Sequence[Callable[[], None]], *, follows: bool = False) -> None:
        """Hand requests to the thread, all or none."""
        count = len(begin)
        with self._lock:
            if self._closing:
                raise BusyError("the server is shutting down")
            if self._admitted + count > self._room and not follows:
                raise BusyError(
                    f"{self._admitted} requests run or wait and there is room for {self._room}: try again later"
                )
            self._admitted += count
            for one in begin:
                self._inbox.put(one)

    def _release(self) -> None:
        with self._lock:
            self._admitted -= 1

    @property
    def _busy(self) -> bool:
        return self.engine.busy or bool(self._tasks or self._queue)

    def _run(self) -> None:
        while self._busy or not (self._closing and self._inbox.empty()):
            try:
                self._take()
                if self.engine.busy:
                    for event in self.engine.step():
                        self._deliver(event)
                self._start_tasks()
                for number in list(self._tasks):
                    self._advance(number)
            except Exception as error:
                log.exception("the engine failed: every request is told")
                self._fail_all(error)

    def _take(self) -> None:
        """Do what callers asked for; where there is nothing else to do, wait for it."""
        with suppress(Empty):
            while True:
                self._inbox.get(block=not self._busy and not self._closing)()

    def _deliver(self, event: Event | Failed) -> None:
        deliver = self._callers.get(event.request)
        if deliver is None:
            return
        if isinstance(event, Finished | Failed):
            del self._callers[event.request]
            self._release()
        deliver(event)

    def _start_tasks(self) -> None:
        """First come first served, as many at a time as rows of the batch, where there is memory
        for them."""
        while self._queue and len(self._tasks) < self._places:
            number, task, mail = self._queue[0]
            if not self.engine.memory.take(number, task.share):
                return
            self._queue.popleft()
            self._tasks[number] = _begun(task), mail

    def _advance(self, number: int) -> None:
        """One turn of a task."""
        passes, mail = self._tasks[number]
        try:
            item = next(passes)
        except StopIteration:
            self._end(number)
        except Exception as error:
            self._end(number, error)
        else:
            if item is not None:
                mail.put(item)

    def _end(self, number: int, error: Exception | None = None) -> None:
        """Let a task out that is through, failed, or nobody waits for."""
        waiting = [one for one in self._queue if one[0] == number]
        if not waiting and number not in self._tasks:
            return
        self._queue = deque(one for one in self._queue if one[0] != number)
        passes, mail = self._tasks.pop(number, (iter(()), waiting[0][2] if waiting else None))
        del passes  # what it holds is free before another begins
        if error is not None:
            traceback.clear_frames(error.__traceback__)
            error.__context__ = None
        self.engine.memory.release(number)
        self._release()
        if mail is not None:
            mail.put(_Ended(error))

    def _cancel(self, number: int) -> None:
        for event in self.engine.cancel(number):
            self._deliver(event)

    def _cancel_all(self) -> None:
        for number in list(self._callers):
            self._cancel(number)
        self._end_tasks(BusyError("the server is shutting down"))

    def _fail_all(self, error: Exception) -> None:
        """Nothing is lost silently: all callers hear of it, and begin anew with an empty engine."""
        for number, deliver in list(self._callers.items()):
            self.engine.cancel(number)
            del self._callers[number]
            self._release()
            deliver(Failed(request=number, error=error))
        self._end_tasks(error)

    def _end_tasks(self, error: Exception) -> None:
        for number in [*self._tasks, *(one[0] for one in self._queue)]:
            self._end(number, error)
