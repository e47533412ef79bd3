"""Pools: threads of each kind of work beside the engine, and how many requests may wait for them.

A request decides how long its work takes. Each kind has threads of its own, so that work of one
kind does not hold up that of another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from redraft.server.runtime.worker import BusyError, ClientLeftError

Result = TypeVar("Result")
Kind = Literal["state", "diff", "tokens", "check", "puzzle", "answer"]
# Threads that work at a time.
THREADS: dict[Kind, int] = {
    "state": 4,
    "diff": 2,
    "tokens": 2,
    "check": 1,
    "puzzle": 1,
    "answer": 2,
}
MAX_WAITING = 64  # requests of one kind
RETRY_SECONDS = 1


class Queue:
    """The requests that are being prepared, or wait for it.

    Args:
        threads: of how many at a time. max_waiting: requests that may wait.
    """

    def __init__(self, threads: int, max_waiting: int) -> None:
        self.limiter = anyio.CapacityLimiter(threads)
        # Of threads whose caller has left, the limiter knows nothing.
        self.slots = threading.Semaphore(threads)
        self.capacity = threads + max_waiting
        self.load = 0
        self._lock = threading.Lock()

    def place(self) -> QueuePlace:
        """Take a place."""
        with self._lock:
            self.load += 1
        return QueuePlace(self)

    def leave(self) -> None:
        """Give a place back."""
        with self._lock:
            self.load -= 1

    @property
    def full(self) -> bool:
        """True where one more request would be refused."""
        return self.load >= self.capacity


class QueuePlace:
    """A place in a queue. It is taken until its thread has ended, also where nobody waits for that:
    a client that leaves cannot have its next request prepared beside the last."""

    def __init__(self, queue: Queue) -> None:
        self._queue, self._lock = queue, threading.Lock()
        self._state: Literal["waits", "works", "left"] = "waits"

    def begin(self) -> bool:
        """Note that the thread works; returns False where the caller has left before."""
        with self._lock:
            if self._state == "left":
                return False
            self._state = "works"
            return True

    def end(self) -> None:
        """Give the place back; the thread has ended."""
        self._queue.leave()

    def give_up(self) -> None:
        """Give the place back, unless a thread works for it."""
        with self._lock:
            waited = self._state == "waits"
            if waited:
                self._state = "left"
        if waited:
            self._queue.leave()


_queues: RunVar[dict[Kind, Queue]] = RunVar("pools")  # those of an event loop


def _queue(kind: Kind) -> Queue:
    try:
        found = _queues.get()
    except LookupError:
        found = {one: Queue(threads, MAX_WAITING) for one, threads in THREADS.items()}
        _queues.set(found)
    return found[kind]


async def in_pool(
    kind: Kind, function: Callable[..., Result], *arguments: Any, follow_up: bool = False
) -> Result:
    """Return the result of a function, called in a thread of a kind.

    Cancelling does not wait for the thread, which keeps its place until it has ended.

    Args:
        follow_up: this ends a request that the engine has admitted: there is room for it.

    Raises:
        BusyError: too many wait.
    """
    queue = _queue(kind)
    if queue.full and not follow_up:
        raise BusyError(f"{queue.load} requests of this kind run or wait", RETRY_SECONDS)
    place = queue.place()

    def work() -> Result:
        if not place.begin():
            raise ClientLeftError("the caller has left")
        try:
            with queue.slots:
                return function(*arguments)
        finally:
            place.end()

    try:
        return await anyio.to_thread.run_sync(work, limiter=queue.limiter, abandon_on_cancel=True)
    finally:
        place.give_up()


async def written(function: Callable[..., Result], *arguments: Any) -> Result:
    """Return a part of an answer, written in a thread: the request has been admitted."""
    return await in_pool("answer", function, *arguments, follow_up=True)
