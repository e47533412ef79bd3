"""Tiles: how much of its operands a program of a kernel takes at a time.

None of them spills registers on the cards that it is for: tests/ops/test_compiled.py compiles them.
"""

from __future__ import annotations

from typing import NamedTuple

# Shared memory of a block on cards of capability 9.0 and 10.0, and of 8.0; others have 99 KiB.
HOPPER_MEMORY, A100_MEMORY = 220 << 10, 160 << 10


class AttentionTile(NamedTuple):
    """Queries and keys at a time, warps, and blocks of keys in flight."""

    queries: int
    keys: int
    warps: int
    stages: int


def attention_tile(width: int, itemsize: int, memory: int, causal: bool) -> AttentionTile:
    """Return the tile of the attention kernel.

    Args:
        width: of a head, a power of two.
        itemsize: bytes of an element of the queries.
        memory: bytes of shared memory that a block may have.
        causal: queries see the keys before them; canvases see all.
    """
    if itemsize > 2:  # float32, in tests
        return AttentionTile(16, 16 if width > 256 else 32, 4, 1)
    if memory >= HOPPER_MEMORY:  # chosen on an H100, but for what spilled
        if width <= 256:
            return AttentionTile(64, 32, 4, 2)
        return AttentionTile(32, 32, 8, 2) if causal else AttentionTile(16, 32, 4, 2)
    if width <= 128:
        return AttentionTile(64, 32, 4, 2)
    if width <= 256:
        return AttentionTile(64, 32, 8, 2)
    return AttentionTile(32, 32, 8, 2 if memory >= A100_MEMORY else 1)
