"""Memory that was freed, given back to the system while the server works."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from redraft.engine.allocator import give_memory_back

STATM = Path("/proc/self/statm")
# Seconds between two looks, and the growth since the last time that is worth the work, in bytes.
SECONDS, GROWTH = 10.0, 32 << 20


def resident() -> int:
    """Return the bytes of memory that this process holds now; 0 where the system does not say."""
    try:
        pages = int(STATM.read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class FreedMemory:
    """A thread that gives freed memory back whenever the process has grown.

    A large text that is tokenized, or a large constraint, leaves memory behind that the C library
    keeps for what comes next.

    Args:
        seconds: between two looks. resident: the bytes that the process holds.
    """

    def __init__(self, seconds: float = SECONDS, resident: Callable[[], int] = resident) -> None:
        self._seconds, self._resident = seconds, resident
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="redraft-memory", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        low = self._resident()
        while not self._ended.wait(self._seconds):
            if self._resident() > low + GROWTH:
                give_memory_back()
                low = self._resident()
            else:
                low = min(low, self._resident())
