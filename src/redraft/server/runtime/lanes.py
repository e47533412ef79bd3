"""Lanes: threads for short and long requests and those with pictures; none waits for another kind.

A request decides how long its preparation takes. What it brings tells beforehand: a few thousand
characters take milliseconds, megabytes take seconds, and a picture of a few kilobytes can have as
many pixels as are read at most.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from redraft.server.runtime.pools import Queue

Lane = Literal["short", "long", "longest", "pictures"]
# Threads that work at a time. The tokens of 4 MB take 700 MB while they are counted.
THREADS: dict[Lane, int] = {"short": 4, "long": 2, "longest": 1, "pictures": 2}
# Bytes or characters of a long request, and of one of the longest.
LONG, LONGEST = 64 << 10, 1 << 20
_size: ContextVar[int] = ContextVar("request_size", default=0)


def note_size(size: int) -> None:
    """Note the size of what this request brings, or of a kept text that it works on."""
    _size.set(max(_size.get(), size))


def lane_of_request(pictures: bool = False) -> Lane:
    """Return the lane of the request that runs now."""
    if pictures:
        return "pictures"
    size = _size.get()
    if size > LONGEST:
        return "longest"
    return "long" if size > LONG else "short"


@dataclass(frozen=True)
class Threads:
    """The threads of one lane.

    Attributes:
        plain: requests without constraints. constrained: those that may wait for a process; they
            have a thread each. slots: threads of them that work; who waits for a process is none.
    """

    plain: Queue
    constrained: Queue
    slots: threading.Semaphore

    @classmethod
    def of(cls, count: int, max_waiting: int) -> Threads:
        """Return threads of which `count` work at a time, and for which some requests wait."""
        return cls(
            Queue(count, max_waiting),
            Queue(count + max_waiting, 0),
            threading.Semaphore(count),
        )


def lanes(max_waiting: int) -> dict[Lane, Threads]:
    """Return the threads of all lanes, by lane."""
    return {lane: Threads.of(count, max_waiting) for lane, count in THREADS.items()}
