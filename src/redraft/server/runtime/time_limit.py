"""Time limit: when the request that runs must have its answer, whatever it asks for.

A request without a limit of tokens writes to the end of its context, which takes a slow machine an
hour. Its client has left by then, and asks again.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass

# The part of the time, and the seconds at most, before whose begin an answer may settle: a step
# that runs has to end, and log-probabilities come behind it.
RESERVE_PART, RESERVE_SECONDS = 0.1, 30.0
# And those before whose begin it ends with an error: the error has to be sent.
LAST_PART, LAST_SECONDS = 0.02, 2.0


@dataclass(frozen=True)
class TimeLimit:
    """A time limit, in times of `time.monotonic`.

    Attributes:
        settles: from then on the best draft so far is the answer. ends: from then on an error is.
    """

    settles: float
    ends: float

    @classmethod
    def of(cls, seconds: float) -> TimeLimit:
        """Return the limit of a request that has just come."""
        over = time.monotonic() + seconds
        return cls(
            over - min(seconds * RESERVE_PART, RESERVE_SECONDS),
            over - min(seconds * LAST_PART, LAST_SECONDS),
        )


# That of the request that runs; None for none.
current_limit: ContextVar[TimeLimit | None] = ContextVar("time_limit", default=None)


def seconds_left(given: float | None) -> float | None:
    """Return the seconds that a request has: those that it asks for, or the server's limit; None
    for no limit."""
    if (limit := current_limit.get()) is None:
        return given
    left = max(0.0, limit.ends - time.monotonic())
    return left if given is None else min(given, left)


def earliest_deadline(given: float | None) -> float | None:
    """Return the time from which on the best draft is the answer; None for never."""
    if (limit := current_limit.get()) is None:
        return given
    return limit.settles if given is None else min(given, limit.settles)
