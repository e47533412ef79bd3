"""The numbers of words of 16 bits, and their scales, in few instructions.

FAST is for bfloat16 on a device. The bits of a number are put where a bfloat16's exponent is 0 or
1, so that it counts in steps of 2^-133, or has the exponent of a small float; one multiplication
with the scale, and for integers a subtraction in the same instruction, makes the number, rounded
once. The other way reads like the definition of a format; it serves float32 and the interpreter.
"""

from __future__ import annotations

import triton
import triton.language as tl

from redraft.ops.triton.numbers import e4m3


@triton.jit
def scale_pairs(bits, FORM: tl.constexpr):
    """Return the bits of a bfloat16 twice in a word of 32, times three powers of two: 2^101 or
    2^88, 2^97, and -8 or -128 times 2^-32."""
    if FORM == "int4":
        low, high, less = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 both, steps, sixteen, middle, zero;
            mov.b32 steps, 0x72007200;
            mov.b32 sixteen, 0x70007000;
            mov.b32 middle, 0xB100B100;
            mov.b32 zero, 0x80008000;
            prmt.b32 both, $3, 0, 0x1010;
            fma.rn.bf16x2 $0, both, steps, zero;
            fma.rn.bf16x2 $1, both, sixteen, zero;
            fma.rn.bf16x2 $2, both, middle, zero;
            }
            """,
            constraints="=&r,=&r,=r,r", args=[bits], dtype=(tl.uint32, tl.uint32, tl.uint32),
            is_pure=True, pack=1,
        )  # fmt: skip
    elif FORM == "int8":
        low, less = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 both, steps, middle, zero;
            mov.b32 steps, 0x72007200;
            mov.b32 middle, 0xB300B300;
            mov.b32 zero, 0x80008000;
            prmt.b32 both, $2, 0, 0x1010;
            fma.rn.bf16x2 $0, both, steps, zero;
            fma.rn.bf16x2 $1, both, middle, zero;
            }
            """,
            constraints="=&r,=r,r", args=[bits], dtype=(tl.uint32, tl.uint32), is_pure=True,
            pack=1,
        )  # fmt: skip
        high = low
    else:
        low = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 both, much, zero;
            mov.b32 much, 0x6B806B80;
            mov.b32 zero, 0x80008000;
            prmt.b32 both, $1, 0, 0x1010;
            fma.rn.bf16x2 $0, both, much, zero;
            }
            """,
            constraints="=r,r", args=[bits], dtype=tl.uint32, is_pure=True, pack=1,
        )  # fmt: skip
        high, less = low, low
    return low, high, less


@triton.jit
def four_scales(fours, FAST: tl.constexpr):
    """Return the four e4m3 whose bits stand in 32 bits.

    With FAST a scale stands twice in 32 bits, as bfloat16, times 2^94: e2m1 has 2^126 less there.
    """
    if FAST:
        s0, s1, s2, s3 = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 a, b, c, d, much, zero;
            mov.b32 much, 0x75007500;
            mov.b32 zero, 0x80008000;
            prmt.b32 a, $4, 0, 0x1404;
            prmt.b32 b, $4, 0, 0x3424;
            shr.u32 c, a, 4;
            shr.u32 d, b, 4;
            and.b32 a, a, 0x80008000;
            and.b32 b, b, 0x80008000;
            lop3.b32 a, c, 0x07F007F0, a, 0xEA;
            lop3.b32 b, d, 0x07F007F0, b, 0xEA;
            fma.rn.bf16x2 a, a, much, zero;
            fma.rn.bf16x2 b, b, much, zero;
            fma.rn.bf16x2 a, a, much, zero;
            fma.rn.bf16x2 b, b, much, zero;
            prmt.b32 $0, a, 0, 0x1010;
            prmt.b32 $1, a, 0, 0x3232;
            prmt.b32 $2, b, 0, 0x1010;
            prmt.b32 $3, b, 0, 0x3232;
            }
            """,
            constraints="=&r,=&r,=&r,=r,r", args=[fours],
            dtype=(tl.uint32, tl.uint32, tl.uint32, tl.uint32), is_pure=True, pack=1,
        )  # fmt: skip
    else:
        s0, s1 = e4m3(fours & 255, False) * 256.0, e4m3((fours >> 8) & 255, False) * 256.0
        s2, s3 = e4m3((fours >> 16) & 255, False) * 256.0, e4m3(fours >> 24, False) * 256.0
    return s0, s1, s2, s3


@triton.jit
def int4_words(words, s0, s1, s2, s3, less0, less1, less2, less3, FAST: tl.constexpr):
    """Return the four int4 of each word, each less 8 and times its scale: `_scales` gives both."""
    if FAST:
        t0, t1, t2, t3 = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 a, b, c, d, high;
            shr.u32 high, $4, 8;
            and.b32 a, $4, 0x000F000F;
            and.b32 b, $4, 0x00F000F0;
            and.b32 c, high, 0x000F000F;
            and.b32 d, high, 0x00F000F0;
            fma.rn.bf16x2 $0, a, $5, $13;
            fma.rn.bf16x2 $1, b, $7, $15;
            fma.rn.bf16x2 $2, c, $9, $17;
            fma.rn.bf16x2 $3, d, $11, $19;
            }
            """,
            constraints="=&r,=&r,=&r,=r,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r",
            args=[words, s0, s1, s2, s3, less0, less1, less2, less3],
            dtype=(tl.bfloat16, tl.bfloat16, tl.bfloat16, tl.bfloat16), is_pure=True, pack=2,
        )  # fmt: skip
    else:
        t0, t1 = ((words & 15).to(tl.float32) - 8) * s0, ((words >> 4 & 15).to(tl.float32) - 8) * s1
        t2, t3 = (
            ((words >> 8 & 15).to(tl.float32) - 8) * s2,
            ((words >> 12).to(tl.float32) - 8) * s3,
        )
    return t0, t1, t2, t3


@triton.jit
def e2m1_words(words, s0, s1, s2, s3, FAST: tl.constexpr):
    """Return the four float4 e2m1 of each word, each times its scale: `_float_scales` gives it."""
    if FAST:
        t0, t1, t2, t3 = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 a, b, c, d, e, f, g, h, zero;
            mov.b32 zero, 0x80008000;
            shl.b32 a, $4, 12;
            shl.b32 e, $4, 6;
            shl.b32 b, $4, 8;
            shl.b32 f, $4, 2;
            shl.b32 c, $4, 4;
            shr.u32 g, $4, 2;
            shr.u32 h, $4, 6;
            and.b32 a, a, 0x80008000;
            and.b32 b, b, 0x80008000;
            and.b32 c, c, 0x80008000;
            and.b32 d, $4, 0x80008000;
            lop3.b32 a, e, 0x01C001C0, a, 0xEA;
            lop3.b32 b, f, 0x01C001C0, b, 0xEA;
            lop3.b32 c, g, 0x01C001C0, c, 0xEA;
            lop3.b32 d, h, 0x01C001C0, d, 0xEA;
            fma.rn.bf16x2 $0, a, $5, zero;
            fma.rn.bf16x2 $1, b, $7, zero;
            fma.rn.bf16x2 $2, c, $9, zero;
            fma.rn.bf16x2 $3, d, $11, zero;
            }
            """,
            constraints="=&r,=&r,=&r,=r,r,r,r,r,r,r,r,r,r", args=[words, s0, s1, s2, s3],
            dtype=(tl.bfloat16, tl.bfloat16, tl.bfloat16, tl.bfloat16), is_pure=True, pack=2,
        )  # fmt: skip
    else:
        t0, t1 = _e2m1(words & 15) * s0, _e2m1(words >> 4 & 15) * s1
        t2, t3 = _e2m1(words >> 8 & 15) * s2, _e2m1(words >> 12) * s3
    return t0, t1, t2, t3


@triton.jit
def _e2m1(bits):
    wide = bits.to(tl.int32)
    moved = ((wide & 8) << 12) | ((wide & 7) << 9)
    return moved.to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32) * 16384.0


@triton.jit
def int8_words(words, s0, s1, less0, less1, FAST: tl.constexpr):
    """Return the two int8 of each word, which stand there plus 128, times their scales."""
    if FAST:
        t0, t1 = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 a, b;
            shr.u32 b, $2, 8;
            and.b32 a, $2, 0x00FF00FF;
            and.b32 b, b, 0x00FF00FF;
            fma.rn.bf16x2 $0, a, $3, $7;
            fma.rn.bf16x2 $1, b, $5, $9;
            }
            """,
            constraints="=&r,=r,r,r,r,r,r,r,r,r,r", args=[words, s0, s1, less0, less1],
            dtype=(tl.bfloat16, tl.bfloat16), is_pure=True, pack=2,
        )  # fmt: skip
    else:
        t0 = ((words & 255).to(tl.float32) - 128) * s0
        t1 = ((words >> 8).to(tl.float32) - 128) * s1
    return t0, t1


@triton.jit
def e4m3_words(words, s0, s1, FAST: tl.constexpr):
    """Return the two float8 e4m3 of each word, times their scales.

    The first has bit 15 (sign) and bits 10 to 4, where they stand in a bfloat16. The second has bit
    11 (sign), bits 14 to 12, and bits 3 to 0.
    """
    if FAST:
        t0, t1 = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 a, b, c, zero;
            mov.b32 zero, 0x80008000;
            shl.b32 b, $2, 4;
            shr.u32 c, $2, 4;
            and.b32 a, $2, 0x87F087F0;
            and.b32 b, b, 0x80F080F0;
            lop3.b32 b, c, 0x07000700, b, 0xEA;
            fma.rn.bf16x2 $0, a, $3, zero;
            fma.rn.bf16x2 $1, b, $5, zero;
            }
            """,
            constraints="=&r,=r,r,r,r,r,r", args=[words, s0, s1],
            dtype=(tl.bfloat16, tl.bfloat16), is_pure=True, pack=2,
        )  # fmt: skip
    else:
        first = (words >> 8 & 0x80) | (words >> 4 & 0x7F)
        second = (words >> 4 & 0x80) | (words >> 8 & 0x70) | (words & 0x0F)
        t0, t1 = e4m3(first, False) * (256.0 * s0), e4m3(second, False) * (256.0 * s1)
    return t0, t1
