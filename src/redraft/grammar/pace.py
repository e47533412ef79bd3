"""Pace: how much of a long inference is done before others have their turn.

A canvas's inference is called from within a pass of the network. Where the work that is left to it
does not suffice, the pass ends there (`UnfinishedError`) and the inference is kept; it goes on
later without the network. When it is through, the pass is run again, and finds its result. A pass
does not depend on when it is run, so neither does the text.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

T = TypeVar("T")
# Work in pieces: yields the work of each piece, returns the result.
Pieces = Generator[int, None, T]


class UnfinishedError(Exception):
    """The work that is left does not suffice: go on later. Callers of the engine never see it."""


class PiecewiseWork(Generic[T]):
    """Does work in pieces, and keeps its result or its error."""

    def __init__(self, pieces: Pieces[T]) -> None:
        self._pieces = pieces
        self._found: list[T] = []
        self._error: Exception | None = None

    def run(self, left: Pace | None) -> T:
        """Return the result, after the pieces that are missing.

        Args:
            left: the pace that they are spent from; None for no limit.

        Raises:
            UnfinishedError: nothing is left of that. An error of the work is raised each time.
        """
        while not self._found and self._error is None:
            if left is not None and left.work <= 0:
                raise UnfinishedError
            try:
                spent = next(self._pieces)
            except StopIteration as end:
                self._found.append(end.value)
            except Exception as error:
                self._error = error
            else:
                if left is not None:
                    left.work -= spent
        if self._error is not None:
            raise self._error
        return self._found[0]


class Pace:
    """The inferences of one denoising step of one canvas, in the order in which they are asked for.

    Attributes:
        work: what may be spent now, in edges (see `reach.work_of`); below 0 where the last piece
            was larger than what was left.
    """

    def __init__(self) -> None:
        self.work = 0
        self._jobs: list[PiecewiseWork[Any]] = []
        self._next = 0

    @property
    def begun(self) -> bool:
        """True where an inference has begun, and its step is not taken yet."""
        return bool(self._jobs)

    def go_on(self) -> bool:
        """Go on with the last inference; return False where it is still not through."""
        try:
            for job in self._jobs[-1:]:
                job.run(self)
        except UnfinishedError:
            return False
        return True

    def run(self, begin: Callable[[], Pieces[T]]) -> T:
        """Return the result of the inference that is asked for next; begin it where it is new."""
        if self._next == len(self._jobs):
            self._jobs.append(PiecewiseWork(begin()))
        job: PiecewiseWork[T] = self._jobs[self._next]
        self._next += 1
        return job.run(self)

    def rewind(self) -> None:
        """Let the pass be run again, from its first inference."""
        self._next = 0

    def clear(self) -> None:
        """Forget the inferences: their step is taken."""
        self._jobs.clear()


_active: ContextVar[Pace | None] = ContextVar("inference_pace", default=None)


@contextmanager
def at_pace(pace: Pace) -> Iterator[None]:
    """Let the inferences of the block keep to a pace."""
    pace.rewind()
    token = _active.set(pace)
    try:
        yield
    finally:
        _active.reset(token)


def run_paced(begin: Callable[[], Pieces[T]]) -> T:
    """Return the result of work in pieces, at the pace of its context; at once where it has none.

    Raises:
        UnfinishedError: the pace says that it goes on later.
    """
    pace = _active.get()
    return PiecewiseWork(begin()).run(None) if pace is None else pace.run(begin)
