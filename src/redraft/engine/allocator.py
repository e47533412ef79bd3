"""Freed memory kept for the next step.

A step frees and takes the same few megabytes again and again. The C library of Linux gives them
back to the system each time, which then hands out zeroed pages anew: a fifth of a step on a CPU.
Told to keep them, the process holds up to KEPT bytes more, and what lies below a block in use stays
with it too, until `give_memory_back`.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache

KEPT = 256 << 20  # bytes at the top of the heap that are not given back
# Allocations from here on are mapped for themselves; the most that the library allows.
LARGE = 32 << 20
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # the library's numbers for them


@cache
def keep_freed_memory() -> bool:
    """Tell the C library, once; returns whether there is one that listens (glibc)."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(TRIM_THRESHOLD, KEPT)) and bool(mallopt(MMAP_THRESHOLD, LARGE))


def give_memory_back() -> bool:
    """Give freed memory back to the system now; returns whether there was any (glibc alone)."""
    if platform.libc_ver()[0] != "glibc":
        return False
    return bool(ctypes.CDLL(None).malloc_trim(0))
