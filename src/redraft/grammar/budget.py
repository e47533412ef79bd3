"""Budget: how much work and memory the compiling of one constraint may take.

Every loop whose length a constraint decides spends from the budget of its context. The limits of
work and memory are counted, not measured: a constraint is accepted on every machine or on none.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from redraft.errors import ConstraintLimitError, ConstraintTimeoutError

# A few seconds of a slow core, and half a gigabyte.
MAX_WORK = 15_000_000
MAX_HELD = 8_000_000
WORK_OF_CALL = 10
ADVICE = "lower its bounds (lengths, repetitions, depth, number of choices)"
P = ParamSpec("P")
R = TypeVar("R")


class Budget:
    """Counts the work, memory and time of a constraint against their limits.

    Args:
        seconds: time limit; None for none.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.work, self.held = 0, 0
        self.seconds = seconds
        self._ends = None if seconds is None else time.monotonic() + seconds
        self._cancelled = False

    def cancel(self) -> None:
        """End the work that spends from this budget; may be called from any thread."""
        self._cancelled = True

    def spend(self, work: int, held: int) -> None:
        """Count work and memory.

        Raises:
            ConstraintLimitError: more than the limit is spent. ConstraintTimeoutError: the time is
                over, or it was cancelled.
        """
        self.work += work
        self.held += held
        if self.work > MAX_WORK or self.held > MAX_HELD:
            what = "work" if self.work > MAX_WORK else "memory"
            raise ConstraintLimitError(f"the constraint takes too much {what} to compile: {ADVICE}")
        if self._ends is not None and time.monotonic() > self._ends:
            raise ConstraintTimeoutError(
                f"the constraint takes more than {self.seconds:g} seconds to compile: {ADVICE}"
            )
        if self._cancelled:
            raise ConstraintTimeoutError("nobody waits for the constraint any more")


_active: ContextVar[Budget | None] = ContextVar("constraint_budget", default=None)


@contextmanager
def within(budget: Budget) -> Iterator[Budget]:
    """Let all constraints that the block compiles share a budget."""
    token = _active.set(budget)
    try:
        yield budget
    finally:
        _active.reset(token)


def budgeted(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function within the budget of its context; in a new one where there is none."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if _active.get() is not None:
            return function(*args, **kwargs)
        with within(Budget()):
            return function(*args, **kwargs)

    return run


@contextmanager
def counting_calls() -> Iterator[None]:
    """Let every Python function that the block calls spend: for a library that knows no budget."""

    def count(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            spend(WORK_OF_CALL)

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(before)


def spend(work: int = 1, held: int = 0) -> None:
    """Count steps of a loop, and objects of about 50 bytes that it keeps.

    Raises:
        ConstraintLimitError: the budget is spent.
    """
    budget = _active.get()
    if budget is not None:
        budget.spend(work, held)
