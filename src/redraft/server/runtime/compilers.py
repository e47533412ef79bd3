"""Compilers: processes that compile constraints, so that a hostile one costs no other request.

A constraint gets a short time in the first process. One that takes longer goes on to the second,
where the others that take long wait too: so a short one waits for short ones only. A process that
does not give way is killed; one that has grown is replaced, and its memory goes to the system.
"""

from __future__ import annotations

import itertools
import pickle
import threading
from collections import OrderedDict
from contextlib import suppress
from queue import Empty, SimpleQueue
from weakref import WeakKeyDictionary

from redraft.errors import ConstraintError, ConstraintTimeoutError
from redraft.grammar.budget import ADVICE
from redraft.grammar.job import Job
from redraft.grammar.tokens.lexicon import Lexicon
from redraft.server.runtime.compiler import (
    CompilerDiedError,
    CompilerProcess,
    CompilerUnavailableError,
    Ticket,
)
from redraft.server.runtime.worker import BusyError, ShuttingDownError

# Seconds that a constraint may take in the first process, and in the second.
FIRST_SECONDS, LONG_SECONDS = 0.5, 10.0
# Constraints that may wait for the second.
MAX_LONG = 8
# Seconds after which the second process ends when it has nothing to do.
IDLE_SECONDS = 15.0
RETRY_SECONDS = 5
# Errors that are remembered: what takes too much work once, does so again.
MAX_KNOWN, MAX_MESSAGE = 1024, 2000


START = object()


class CompilerQueue:
    """A process, and the constraints that wait for it.

    Args:
        seconds: time of one constraint.
        overtime: gets the constraints that take longer; None refuses them.
        idle: seconds without work after which the process ends; None keeps it.
    """

    def __init__(
        self,
        errors: KnownErrors,
        seconds: float,
        overtime: CompilerQueue | None,
        idle: float | None,
    ) -> None:
        self._errors, self._seconds, self._overtime = errors, seconds, overtime
        self._idle = idle
        self._waiting: SimpleQueue[Ticket | object | None] = SimpleQueue()
        self._process: CompilerProcess | None = None
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Number of constraints that wait."""
        return self._waiting.qsize()

    def put(self, ticket: Ticket | object | None) -> None:
        """Let a constraint wait for its turn.

        Args:
            ticket: START starts the process. None ends the thread.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="redraft-compiler", daemon=True)
            self._thread.start()
        self._waiting.put(ticket)

    def close(self) -> None:
        """End the process, and the thread when it has seen that."""
        self._waiting.put(None)
        if self._process is not None:
            self._process.close()

    def _run(self) -> None:
        while True:
            try:
                ticket = self._waiting.get(timeout=self._idle)
            except Empty:
                self._end()
                continue
            if ticket is None:
                break
            if isinstance(ticket, Ticket):
                self._serve(ticket)
            else:
                with suppress(CompilerUnavailableError):
                    self._begin()
        self._end()

    def _begin(self) -> CompilerProcess:
        if self._process is None or not self._process.usable:
            self._end()
            self._process = CompilerProcess()
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None

    def _serve(self, ticket: Ticket) -> None:
        seconds = min(self._seconds, ticket.left())
        try:
            self._errors.check(ticket)
            if seconds <= 0:
                raise ConstraintTimeoutError(f"the time of the request is over: {ADVICE}")
            ticket.succeed(self._begin().compile(ticket, seconds))
        except ConstraintTimeoutError as error:
            if self._overtime is not None and ticket.left() > self._seconds and not ticket.ended:
                self._hand_on(ticket, self._overtime)
            else:
                ticket.fail(error)
        except Exception as error:
            self._errors.note(ticket, error)
            ticket.fail(error)

    def _hand_on(self, ticket: Ticket, queue: CompilerQueue) -> None:
        if queue.waiting < MAX_LONG:
            queue.put(ticket)
            return
        ticket.fail(
            BusyError(
                "the constraint takes long to compile, and so do others that wait: try again later",
                RETRY_SECONDS,
            )
        )


class KnownErrors:
    """The last constraints that could not be compiled, and why."""

    def __init__(self) -> None:
        self._found: OrderedDict[bytes, tuple[type[ConstraintError], str]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, ticket: Ticket) -> None:
        """Raise the error of a constraint that was refused before."""
        with self._lock:
            if ticket.digest in self._found:
                kind, message = self._found[ticket.digest]
                raise kind(message)

    def note(self, ticket: Ticket, error: Exception) -> None:
        """Remember an error, if it does not depend on the time."""
        if not isinstance(error, ConstraintError) or isinstance(error, CompilerDiedError):
            return
        if len(message := str(error)) < MAX_MESSAGE:
            with self._lock:
                self._found[ticket.digest] = type(error), message
                if len(self._found) > MAX_KNOWN:
                    self._found.popitem(last=False)


class Compilers:
    """Compiles constraints in two processes, which start when they are needed."""

    def __init__(self) -> None:
        errors = KnownErrors()
        self._long = CompilerQueue(errors, LONG_SECONDS, None, IDLE_SECONDS)
        self._first = CompilerQueue(errors, FIRST_SECONDS, self._long, None)
        self._numbers = itertools.count()
        self._lexicons: WeakKeyDictionary[Lexicon, int] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._tickets: set[Ticket] = set()
        self._closed = False

    def submit(self, job: Job, lexicon: Lexicon, seconds: float | None) -> Ticket:
        """Let a constraint be compiled.

        Args:
            seconds: time that the caller waits.

        Raises:
            ConstraintError: it is nested too deeply. ShuttingDownError: the server stops.
        """
        try:
            pickled = pickle.dumps(job)
        except RecursionError:
            raise ConstraintError("the constraint is nested too deeply") from None
        with self._lock:
            if self._closed:
                raise ShuttingDownError
            if lexicon not in self._lexicons:
                self._lexicons[lexicon] = next(self._numbers)
            ticket = Ticket(pickled, lexicon, self._lexicons[lexicon], seconds)
            self._tickets.add(ticket)
            self._first.put(ticket)
        ticket.future.add_done_callback(lambda _: self._tickets.discard(ticket))
        return ticket

    def start(self) -> None:
        """Start the first process now, so that the first constraint does not wait for it."""
        with self._lock:
            self._first.put(None if self._closed else START)

    def close(self) -> None:
        """End both processes; who waits gets a ShuttingDownError."""
        with self._lock:
            self._closed = True
            left = list(self._tickets)
        for ticket in left:
            ticket.fail(ShuttingDownError())
        self._first.close()
        self._long.close()
