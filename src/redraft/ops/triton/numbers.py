"""Tiles of matrices in few bits, as numbers."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def spread(
    base, rows, first,
    GROUPS: tl.constexpr, GROUP: tl.constexpr, RUN: tl.constexpr, ROWS: tl.constexpr, WIDE: tl.constexpr, BITS: tl.constexpr,
):  # fmt: skip
    """What belongs to groups of columns, for the columns of a tile [ROWS, WIDE]: the runs of RUN columns that begin at `first`
    each lie in one group. BITS: they are bits of e4m3."""
    groups = tl.minimum(first // GROUP, GROUPS - 1)
    found = tl.load(base + rows[:, None] * GROUPS + groups[None, :])
    if BITS:
        numbers = from_e4m3(found) * 256.0
    else:
        numbers = found.to(tl.float32)
    return tl.reshape(tl.broadcast_to(numbers[:, :, None], (ROWS, WIDE // RUN, RUN)), (ROWS, WIDE))


@triton.jit
def from_e4m3(bits):
    """float32 of e4m3, divided by 256. The bits move to their places in float16, whose small numbers no device takes for zero;
    whoever calls multiplies, once a row or group."""
    wide = bits.to(tl.int32)
    moved = ((wide & 0x80) << 8) | ((wide & 0x7F) << 7)
    return moved.to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit
def from_e2m1(bits):
    """float32 of e2m1, one in each byte, divided by 16,384."""
    wide = bits.to(tl.int32)
    moved = ((wide & 8) << 12) | ((wide & 7) << 9)
    return moved.to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit
def from_integer(values, zero: tl.constexpr):
    """float32 of integers of a byte at most, less `zero`. As the last bits of 2 ** 23, where a float32 counts in ones: devices
    convert integers at a quarter of the rate of sums."""
    wide = values.to(tl.int32) + (0x4B000000 + 128)
    return wide.to(tl.float32, bitcast=True) - (8388608.0 + 128.0 + zero)
