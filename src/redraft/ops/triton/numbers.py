"""Tiles of matrices in few bits, as numbers.

FAST is for bfloat16 on a device: a word holds four bytes, and its instructions make bfloat16 of two
at a time. The other way reads like the formats' definitions; it serves float32 and the interpreter.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

INTERPRETED = bool(triton.knobs.runtime.interpret)
KINDS = {
    torch.float32: tl.float32,
    torch.bfloat16: tl.bfloat16,
    torch.float16: tl.float16,
    torch.uint8: tl.uint8,
}
# What bits of small floats are short of when they stand in another float's places, by format and
# way.
SHORT_OF = {
    ("fp8", True): 1.0,
    ("fp8", False): 256.0,
    ("fp4", True): 512.0,
    ("fp4", False): 16384.0,
}


@triton.jit
def spread(
    base, rows, first,
    GROUPS: tl.constexpr, GROUP: tl.constexpr, RUN: tl.constexpr, ROWS: tl.constexpr, WIDE: tl.constexpr,
    FLOATS: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """What belongs to groups of columns, for the columns of a tile [ROWS, WIDE]: the runs of RUN
    columns that begin at `first` each lie in one group. FLOATS: they are bits of e4m3, and meet
    e2m1."""
    groups = tl.minimum(first // GROUP, GROUPS - 1)
    numbers = tl.load(base + rows[:, None] * GROUPS + groups[None, :])
    if FLOATS:
        numbers = e4m3(numbers, False) * (2.0**125 if FAST else 256.0)
    numbers = numbers.to(tl.bfloat16 if FAST else tl.float32)
    return tl.reshape(tl.broadcast_to(numbers[:, :, None], (ROWS, WIDE // RUN, RUN)), (ROWS, WIDE))


@triton.jit
def e4m3(bits, FAST: tl.constexpr):
    """Eight bits of a float; short of SHORT_OF. The bits move to their places in a float whose
    small numbers no device takes for zero."""
    if FAST:
        numbers = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 a, b, c, d, much, zero;
            mov.b32 much, 0x7B807B80;
            mov.b32 zero, 0x80008000;
            prmt.b32 a, $2, 0, 0x1404;
            prmt.b32 b, $2, 0, 0x3424;
            shr.u32 c, a, 4;
            shr.u32 d, b, 4;
            and.b32 a, a, 0x80008000;
            and.b32 b, b, 0x80008000;
            lop3.b32 a, c, 0x07F007F0, a, 0xEA;
            lop3.b32 b, d, 0x07F007F0, b, 0xEA;
            fma.rn.bf16x2 $0, a, much, zero;
            fma.rn.bf16x2 $1, b, much, zero;
            }
            """,
            constraints="=r,=r,r", args=[bits], dtype=tl.bfloat16, is_pure=True, pack=4,
        )  # fmt: skip
    else:
        wide = bits.to(tl.int32)
        moved = ((wide & 0x80) << 8) | ((wide & 0x7F) << 7)
        numbers = moved.to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)
    return numbers


@triton.jit
def int8(values, FAST: tl.constexpr):
    """Integers: the low seven bits stand behind 128 in a bfloat16, from which 128 is taken, or 256
    where the sign is set."""
    if FAST:
        numbers = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 a, b, c, d, one;
            mov.b32 one, 0x3F803F80;
            prmt.b32 a, $2, 0, 0x4140;
            prmt.b32 b, $2, 0, 0x4342;
            lop3.b32 c, a, 0x00800080, 0xC300C300, 0xEA;
            lop3.b32 d, b, 0x00800080, 0xC300C300, 0xEA;
            lop3.b32 a, a, 0x007F007F, 0x43004300, 0xEA;
            lop3.b32 b, b, 0x007F007F, 0x43004300, 0xEA;
            fma.rn.bf16x2 $0, a, one, c;
            fma.rn.bf16x2 $1, b, one, d;
            }
            """,
            constraints="=r,=r,r", args=[values], dtype=tl.bfloat16, is_pure=True, pack=4,
        )  # fmt: skip
    else:
        numbers = values.to(tl.float32)
    return numbers


@triton.jit
def int4(packed, low, high, FAST: tl.constexpr):
    """Two integers a byte, each less 8, times their scales: a tile of the lower halves, one of the
    upper."""
    if FAST:
        lower, upper = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 a, b, c, d, one, less, zero;
            mov.b32 one, 0x3F803F80;
            mov.b32 less, 0xC308C308;
            mov.b32 zero, 0x80008000;
            prmt.b32 a, $4, 0, 0x4140;
            prmt.b32 b, $4, 0, 0x4342;
            shr.u32 c, a, 4;
            shr.u32 d, b, 4;
            lop3.b32 a, a, 0x000F000F, 0x43004300, 0xEA;
            lop3.b32 b, b, 0x000F000F, 0x43004300, 0xEA;
            lop3.b32 c, c, 0x000F000F, 0x43004300, 0xEA;
            lop3.b32 d, d, 0x000F000F, 0x43004300, 0xEA;
            fma.rn.bf16x2 a, a, one, less;
            fma.rn.bf16x2 b, b, one, less;
            fma.rn.bf16x2 c, c, one, less;
            fma.rn.bf16x2 d, d, one, less;
            fma.rn.bf16x2 $0, a, $5, zero;
            fma.rn.bf16x2 $1, b, $6, zero;
            fma.rn.bf16x2 $2, c, $7, zero;
            fma.rn.bf16x2 $3, d, $8, zero;
            }
            """,
            constraints="=&r,=&r,=&r,=r,r,r,r,r,r", args=[packed, low, high], dtype=(tl.bfloat16, tl.bfloat16), is_pure=True,
            pack=4,
        )  # fmt: skip
    else:
        lower, upper = (
            ((packed & 15).to(tl.float32) - 8.0) * low,
            ((packed >> 4).to(tl.float32) - 8.0) * high,
        )
    return lower, upper


@triton.jit
def e2m1(packed, low, high, FAST: tl.constexpr):
    """Two floats of four bits a byte times their scales, short of SHORT_OF: a tile of the lower
    halves, one of the upper."""
    if FAST:
        lower, upper = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 a, b, c, d, e, f, zero;
            mov.b32 zero, 0x80008000;
            prmt.b32 a, $4, 0, 0x4140;
            prmt.b32 b, $4, 0, 0x4342;
            shl.b32 c, a, 12;
            shl.b32 d, b, 12;
            and.b32 c, c, 0x80008000;
            and.b32 d, d, 0x80008000;
            shl.b32 e, a, 6;
            shl.b32 f, b, 6;
            lop3.b32 c, e, 0x01C001C0, c, 0xEA;
            lop3.b32 d, f, 0x01C001C0, d, 0xEA;
            fma.rn.bf16x2 $0, c, $5, zero;
            fma.rn.bf16x2 $1, d, $6, zero;
            shl.b32 c, a, 8;
            shl.b32 d, b, 8;
            and.b32 c, c, 0x80008000;
            and.b32 d, d, 0x80008000;
            shl.b32 e, a, 2;
            shl.b32 f, b, 2;
            lop3.b32 c, e, 0x01C001C0, c, 0xEA;
            lop3.b32 d, f, 0x01C001C0, d, 0xEA;
            fma.rn.bf16x2 $2, c, $7, zero;
            fma.rn.bf16x2 $3, d, $8, zero;
            }
            """,
            constraints="=&r,=&r,=&r,=r,r,r,r,r,r", args=[packed, low, high], dtype=(tl.bfloat16, tl.bfloat16), is_pure=True,
            pack=4,
        )  # fmt: skip
    else:
        lower, upper = _e2m1(packed & 15) * low, _e2m1(packed >> 4) * high
    return lower, upper


@triton.jit
def _e2m1(bits):
    wide = bits.to(tl.int32)
    moved = ((wide & 8) << 12) | ((wide & 7) << 9)
    return moved.to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)
