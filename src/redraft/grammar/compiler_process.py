"""Compiler process: compiles the constraints that its parent sends, one at a time.

`python -m redraft.grammar.compiler_process`: jobs come by standard input, answers go by standard
output. It loads no torch. It ends with its parent: then its input ends.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO

from redraft.errors import ConstraintLimitError, RedraftError
from redraft.grammar.budget import ADVICE, Budget, within
from redraft.grammar.frames import receive, send
from redraft.grammar.job import Job
from redraft.grammar.tokens.lexicon import Lexicon
from redraft.grammar.tokens.token_dfa import TokenDFA

# Bytes that the process may hold, where the system can limit them; and what it may grow by before
# another one takes its place.
MAX_MEMORY = 3 << 30
MAX_GROWTH = 64 << 20


@dataclass(frozen=True)
class Order:
    """Compile a job, which is pickled.

    Attributes:
        number: of the order; a Cancel names it. lexicon: the number of the lexicon of the job.
        seconds: time limit.
    """

    number: int
    job: bytes
    lexicon: int
    seconds: float


@dataclass(frozen=True)
class Learn:
    """Keep a lexicon under a number."""

    number: int
    lexicon: Lexicon


@dataclass(frozen=True)
class Cancel:
    """End the order of this number, if it runs."""

    number: int


@dataclass(frozen=True)
class Compiled:
    """The result of an order, or its error. grown: the process holds more than it should."""

    dfa: TokenDFA | None = None
    error: Exception | None = None
    grown: bool = False


class Compiling:
    """The orders of one process: a thread reads them, the main thread runs them."""

    def __init__(self, source: BinaryIO, target: BinaryIO) -> None:
        self._source, self._target = source, target
        self._orders: SimpleQueue[tuple[Order, Budget]] = SimpleQueue()
        self._current: tuple[int, Budget] = (-1, Budget())
        self._lexicons: dict[int, Lexicon] = {}
        self._base = resident()

    def read(self) -> None:
        """Read until the parent has ended, and end the process then."""
        with suppress(EOFError, OSError):
            while True:
                what = receive(self._source)
                if isinstance(what, Learn):
                    before = resident()
                    self._lexicons[what.number] = what.lexicon
                    self._base += max(0, resident() - before)
                elif isinstance(what, Cancel) and what.number == self._current[0]:
                    self._current[1].cancel()
                elif isinstance(what, Order):
                    budget = Budget(what.seconds)
                    self._current = what.number, budget
                    self._orders.put((what, budget))
        os._exit(0)

    def run(self) -> None:
        """Say that the process has started, then run orders, and answer each."""
        send(self._target, Compiled())
        while True:
            answer = self._run(*self._orders.get())
            send(self._target, answer)

    def _run(self, order: Order, budget: Budget) -> Compiled:
        dfa: TokenDFA | None = None
        error: Exception | None = None
        try:
            with within(budget):
                job: Job = pickle.loads(order.job)
                dfa = job.run(self._lexicons[order.lexicon])
                if dfa is not None:
                    dfa.prepare()
        except RedraftError as raised:
            error = raised.with_traceback(None)
        except MemoryError:
            error = ConstraintLimitError(
                f"the constraint takes too much memory to compile: {ADVICE}"
            )
        except Exception as raised:
            error = RuntimeError(f"compiling failed: {raised!r}")
        return Compiled(dfa, error, resident() - self._base > MAX_GROWTH)


def resident() -> int:
    """Return the resident memory of this process in bytes; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _limit_memory() -> None:
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = MAX_MEMORY if hard == resource.RLIM_INFINITY else min(MAX_MEMORY, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def main() -> None:
    """Compile until the parent ends."""
    _limit_memory()
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else may be written between the answers
    compiling = Compiling(os.fdopen(os.dup(0), "rb"), target)
    threading.Thread(target=compiling.read, daemon=True).start()
    with suppress(BrokenPipeError):
        compiling.run()


if __name__ == "__main__":
    # Pickled classes name their module, and this file would be __main__.
    from redraft.grammar import compiler_process

    compiler_process.main()
