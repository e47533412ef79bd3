"""Decodes tiles of quantized matrices into numbers.

FAST is for bfloat16 on a device: a word holds four bytes, and one instruction decodes two of them
to bfloat16. The other way reads like the definition of a format; it serves float32 and the
interpreter.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

INTERPRETED = bool(triton.knobs.runtime.interpret)
TRITON_DTYPES = {
    torch.float32: tl.float32,
    torch.bfloat16: tl.bfloat16,
    torch.float16: tl.float16,
    torch.uint8: tl.uint8,
}


@dataclass(frozen=True)
class Encoding:
    """How a kernel decodes one form of `PackedLayout`.

    Attributes:
        dtype: of the stored values.
        missing_factors: by which the decoded numbers are too small, without FAST and with it. The
            bits of small floats are moved to their places in a wider float, whose exponent counts
            from elsewhere; one product makes up for it.
    """

    dtype: tl.dtype
    missing_factors: tuple[float, float] = (1.0, 1.0)


ENCODINGS: dict[str, Encoding] = {
    "plain": Encoding(tl.bfloat16),
    "int8": Encoding(tl.int8),
    "int4": Encoding(tl.uint8),
    "fp8": Encoding(tl.uint8, (256.0, 1.0)),
    "fp4": Encoding(tl.uint8, (16384.0, 512.0)),
}


@triton.jit
def spread(
    base, rows, first,
    GROUPS: tl.constexpr, GROUP: tl.constexpr, RUN: tl.constexpr, ROWS: tl.constexpr,
    WIDE: tl.constexpr, FLOATS: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """Return the scales (or offsets) of groups, one for each number of a tile [ROWS, WIDE].

    Each run of RUN columns that begins at `first` lies in one group. FLOATS: the scales are bits of
    e4m3, and the numbers are e2m1.
    """
    groups = tl.minimum(first // GROUP, GROUPS - 1)
    numbers = tl.load(base + rows[:, None] * GROUPS + groups[None, :])
    if FLOATS:
        numbers = e4m3(numbers, False) * (2.0**125 if FAST else 256.0)
    numbers = numbers.to(tl.bfloat16 if FAST else tl.float32)
    return tl.reshape(tl.broadcast_to(numbers[:, :, None], (ROWS, WIDE // RUN, RUN)), (ROWS, WIDE))


@triton.jit
def e4m3(bits, FAST: tl.constexpr):
    """Decode float8 e4m3; the result lacks the missing factor of "fp8".

    The bits move to their places in a float whose small numbers no device treats as zero.
    """
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
    """Decode int8.

    FAST: the low seven bits become the fraction of a bfloat16 between 128 and 256. Then 128 is
    subtracted, or 256 where the sign is set.
    """
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
    """Decode two int4 a byte, each less 8, and multiply them with their scales.

    Returns a tile of the lower halves and one of the upper halves.
    """
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
            constraints="=&r,=&r,=&r,=r,r,r,r,r,r", args=[packed, low, high],
            dtype=(tl.bfloat16, tl.bfloat16), is_pure=True, pack=4,
        )  # fmt: skip
    else:
        lower, upper = (
            ((packed & 15).to(tl.float32) - 8.0) * low,
            ((packed >> 4).to(tl.float32) - 8.0) * high,
        )
    return lower, upper


@triton.jit
def e2m1(packed, low, high, FAST: tl.constexpr):
    """Decode two float4 e2m1 a byte, and multiply them with their scales.

    Returns a tile of the lower halves and one of the upper halves; both lack the missing factor of
    "fp4".
    """
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
            constraints="=&r,=&r,=&r,=r,r,r,r,r,r", args=[packed, low, high],
            dtype=(tl.bfloat16, tl.bfloat16), is_pure=True, pack=4,
        )  # fmt: skip
    else:
        lower, upper = _e2m1(packed & 15) * low, _e2m1(packed >> 4) * high
    return lower, upper


@triton.jit
def _e2m1(bits):
    wide = bits.to(tl.int32)
    moved = ((wide & 8) << 12) | ((wide & 7) << 9)
    return moved.to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)
