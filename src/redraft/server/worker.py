"""Worker: the thread that runs the engine. Everything else is asyncio and never waits for a step."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

from redraft.engine import Engine, Request
from redraft.errors import RedraftError, RequestError
from redraft.events import Draft, Event, Failed, Finished
from redraft.model import DiffusionGemma
from redraft.text import Tokenizer

log = logging.getLogger("redraft.server")
Deliver = Callable[[Event | Failed], None]


class BusyError(RedraftError):
    """As many requests wait as may wait."""


class DeadlineError(RedraftError):
    """The caller would wait no longer."""


class Worker:
    """Runs requests of any number of callers in one batch, which they join and leave between steps.

    Args:
        max_batch_size: canvases denoised together at most. max_waiting: requests that may wait besides.
    """

    def __init__(
        self, model: DiffusionGemma, tokenizer: Tokenizer | None, *, max_batch_size: int = 8, max_waiting: int = 64
    ) -> None:
        self._engine = Engine(model, tokenizer, max_batch_size=max_batch_size)
        self._room = max_batch_size + max_waiting
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._callers: dict[int, Deliver] = {}  # by the engine's number; the thread's own
        self._admitted = 0
        self._lock = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="redraft-engine", daemon=True)
        self._thread.start()

    @property
    def load(self) -> int:
        """Requests that run or wait."""
        return self._admitted

    async def events(
        self, requests: Sequence[Request], seconds: float | None = None, *, drafts: bool = True
    ) -> AsyncGenerator[tuple[int, Event | Failed], None]:
        """The events of requests, each with its place among them, until all have ended. Whoever leaves before cancels the rest.
        Without `drafts`, those of the steps are left out.

        Raises:
            BusyError: there is no room for them, or the worker is closing. DeadlineError: they took more than `seconds`.
        """
        if len(requests) > self._room:
            raise RequestError(f"{len(requests)} choices are more than this server writes at a time ({self._room})")
        loop = asyncio.get_running_loop()
        ends = None if seconds is None else loop.time() + seconds
        arrived: asyncio.Queue[tuple[int, Event | Failed]] = asyncio.Queue()
        numbers: dict[int, int] = {}  # place -> the engine's number; written by the thread

        def start(place: int, request: Request) -> Callable[[], None]:
            def deliver(event: Event | Failed) -> None:
                if not drafts and isinstance(event, Draft):
                    return
                loop.call_soon_threadsafe(arrived.put_nowait, (place, event))

            def add() -> None:
                try:
                    number = numbers[place] = self._engine.add(request)
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
                try:
                    rest = None if ends is None else max(0.0, ends - loop.time())
                    place, event = await asyncio.wait_for(arrived.get(), rest)
                except TimeoutError:
                    raise DeadlineError(f"the answer took more than {seconds:g} seconds") from None
                if isinstance(event, Finished | Failed):
                    left.discard(place)
                yield place, event
        finally:
            for place in left:
                self._inbox.put(lambda place=place: self._cancel(numbers.get(place, -1)))  # type: ignore[misc]

    def close(self, wait: float = 10.0) -> None:
        """Take no more requests, finish those that run for `wait` seconds, cancel the rest."""
        with self._lock:
            self._closing = True
        self._inbox.put(lambda: None)
        self._thread.join(wait)
        if self._thread.is_alive():
            self._inbox.put(self._cancel_all)
            self._thread.join(wait)

    def _admit(self, begin: Sequence[Callable[[], None]]) -> None:
        """Hand requests to the thread, all or none."""
        count = len(begin)
        with self._lock:
            if self._closing:
                raise BusyError("the server is shutting down")
            if self._admitted + count > self._room:
                raise BusyError(f"{self._admitted} requests run or wait and there is room for {self._room}: try again later")
            self._admitted += count
            for one in begin:
                self._inbox.put(one)

    def _run(self) -> None:
        while self._engine.busy or not (self._closing and self._inbox.empty()):
            try:
                self._take()
                if self._engine.busy:
                    for event in self._engine.step():
                        self._deliver(event)
            except Exception as error:
                log.exception("the engine failed: every request is told")
                self._fail_all(error)

    def _fail_all(self, error: Exception) -> None:
        """Nothing is lost silently: all callers hear of it, and begin anew with an empty engine."""
        for number, deliver in list(self._callers.items()):
            self._engine.cancel(number)
            del self._callers[number]
            self._release()
            with suppress(RuntimeError):
                deliver(Failed(request=number, error=error))

    def _release(self) -> None:
        with self._lock:
            self._admitted -= 1

    def _take(self) -> None:
        """Do what callers asked for; where there is nothing else to do, wait for it."""
        try:
            while True:
                self._inbox.get(block=not self._engine.busy and not self._closing)()
        except Empty:
            pass

    def _deliver(self, event: Event | Failed) -> None:
        deliver = self._callers.get(event.request)
        if deliver is None:
            return
        if isinstance(event, Finished | Failed):
            del self._callers[event.request]
            self._release()
        try:
            deliver(event)
        except RuntimeError:  # the caller's loop is closed: nobody listens
            self._cancel(event.request)

    def _cancel(self, number: int) -> None:
        for event in self._engine.cancel(number):
            self._deliver(event)

    def _cancel_all(self) -> None:
        for number in list(self._callers):
            self._cancel(number)
