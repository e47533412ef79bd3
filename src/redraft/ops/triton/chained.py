"""Programmatic dependent launch, within kernels: one begins while the one before it still runs.

A kernel that is launched so waits at its beginning until all that came before is written. What it
saves is the time between two launches. See `launch.chain`.
"""

from __future__ import annotations

import triton
import triton.language as tl

try:
    from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait
except ImportError:  # no kernel is launched so
    gdc_launch_dependents = gdc_wait = None


@triton.jit
def await_last(CHAINED: tl.constexpr):
    """Wait for the kernels before this one. All reads and writes of activations come behind it."""
    if CHAINED:
        gdc_wait()


@triton.jit
def release_next(CHAINED: tl.constexpr):
    """Let the next kernel be launched; it waits until this one has ended."""
    if CHAINED:
        gdc_launch_dependents()
