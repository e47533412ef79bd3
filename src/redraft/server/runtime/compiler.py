"""Compiler: one process that compiles constraints, from outside."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

import redraft.grammar.compiler_process as inside
from redraft.errors import ConstraintLimitError, ConstraintTimeoutError, RedraftError
from redraft.grammar.budget import ADVICE
from redraft.grammar.frames import receive, send
from redraft.grammar.tokens.lexicon import Lexicon
from redraft.grammar.tokens.token_dfa import TokenDFA

MODULE = inside.__name__
# Seconds that a process has to start.
START_SECONDS = 30.0
# Seconds beyond its time that a process has to give way; then it is killed.
PATIENCE = 1.0
# Added to the priority of the process: the engine's steps come first.
NICENESS = 5


class CompilerUnavailableError(RedraftError):
    """The system starts no process now; the request can be sent again."""


class CompilerDiedError(ConstraintLimitError):
    """The process that compiled a constraint was ended from outside."""


class Ticket:
    """A constraint that is to be compiled.

    Attributes:
        job: the Job, pickled. digest: equal for equal jobs. future: gets the result.
        number: of its lexicon.
    """

    def __init__(self, job: bytes, lexicon: Lexicon, number: int, seconds: float | None) -> None:
        self.job, self.lexicon, self.number = job, lexicon, number
        self.digest = hashlib.sha256(job + str(number).encode()).digest()
        self.future: Future[TokenDFA | None] = Future()
        self._ends = None if seconds is None else time.monotonic() + seconds
        self._wake: Callable[[], None] | None = None

    def left(self) -> float:
        """Return the seconds that its caller still waits."""
        if self.ended:
            return 0.0
        return float("inf") if self._ends is None else self._ends - time.monotonic()

    @property
    def ended(self) -> bool:
        return self.future.done()

    def begin(self, wake: Callable[[], None]) -> None:
        """Say what is called when it ends before it is compiled."""
        self._wake = wake
        if self.ended:
            wake()

    def succeed(self, found: TokenDFA | None) -> None:
        with suppress(InvalidStateError):
            self.future.set_result(found)

    def fail(self, error: Exception) -> None:
        """End it with an error, wherever it is."""
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            return  # it has ended already
        if self._wake is not None:
            self._wake()

    def cancel(self) -> None:
        """End it: nobody waits any more."""
        self.fail(ConstraintTimeoutError("nobody waits for the constraint any more"))


class CompilerProcess:
    """A process; one thread uses it.

    Attributes:
        usable: False where another process has to take its place.

    Raises:
        CompilerUnavailableError: it cannot be started.
    """

    def __init__(self) -> None:
        self.usable = True
        self._started = False
        self._numbers = itertools.count()
        self._known: set[int] = set()
        # Answers; a ticket that ended; None at the end of the process.
        self._inbox: SimpleQueue[inside.Compiled | Ticket | None] = SimpleQueue()
        try:
            self._process = _new_process()
        except OSError as error:
            raise CompilerUnavailableError(
                f"no process can be started to compile a constraint: {error.strerror}"
            ) from None
        threading.Thread(target=self._read, name="redraft-compiled", daemon=True).start()

    def compile(self, ticket: Ticket, seconds: float) -> TokenDFA | None:
        """Return the token DFA of a ticket's constraint.

        Raises:
            ConstraintError: the constraint cannot be used. ConstraintTimeoutError: it takes more
                than `seconds`, or the ticket has ended. CompilerDiedError: the process died.
            CompilerUnavailableError: it does not start.
        """
        if not self._started:
            self._await_start()
        number = next(self._numbers)
        try:
            if ticket.number not in self._known:
                self._send(inside.Learn(ticket.number, ticket.lexicon))
                self._known.add(ticket.number)
            self._send(inside.Order(number, ticket.job, ticket.number, seconds))
            ticket.begin(lambda: self._inbox.put(ticket))
            answer = self._answer(ticket, number, time.monotonic() + seconds + PATIENCE)
        except OSError:
            answer = None
        if answer is None:
            self.usable = False
            raise CompilerDiedError(
                f"the process that compiled the constraint was ended, as it is where memory is "
                f"short: {ADVICE}"
            )
        self.usable = not answer.grown
        if answer.error is not None:
            raise answer.error
        return answer.dfa

    def close(self) -> None:
        """Kill the process."""
        self.usable = False
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def _await_start(self) -> None:
        found: object = None
        with suppress(Empty):
            found = self._inbox.get(timeout=START_SECONDS)
        if found is None:
            self.close()
            raise CompilerUnavailableError("the process that compiles constraints does not start")
        self._started = True

    def _answer(self, ticket: Ticket, number: int, ends: float) -> inside.Compiled | None:
        """Return the answer to an order; None where the process died."""
        while True:
            try:
                found = self._inbox.get(timeout=max(0.0, ends - time.monotonic()))
            except Empty:
                self.close()
                raise ConstraintTimeoutError(
                    f"the constraint takes too long to compile: {ADVICE}"
                ) from None
            if not isinstance(found, Ticket):
                return found
            if found is ticket:
                self._send(inside.Cancel(number))
                ends = min(ends, time.monotonic() + PATIENCE)

    def _send(self, what: object) -> None:
        assert self._process.stdin is not None
        send(self._process.stdin, what)  # type: ignore[arg-type]

    def _read(self) -> None:
        assert self._process.stdout is not None
        with suppress(EOFError, OSError, ValueError):
            while True:
                self._inbox.put(receive(self._process.stdout))  # type: ignore[arg-type]
        self._inbox.put(None)
        self._process.stdout.close()


def _new_process() -> subprocess.Popen[bytes]:
    """Return a new process, in a group of its own: Ctrl-C is not meant for it."""
    source = str(Path(inside.__file__).parents[2])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        process_group=0,
    )
    if sys.platform != "win32":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    return process
