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
    "int4": Encoding(tl.uint16),
    "fp8": Encoding(tl.uint8, (256.0, 1.0)),
    "fp4": Encoding(tl.uint16),
}


@triton.jit
def spread(
    base, rows, first,
    GROUPS: tl.constexpr, GROUP: tl.constexpr, RUN: tl.constexpr, ROWS: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    """Return the scales (or offsets) of groups, float32, for each number of a tile [ROWS, WIDE].

    Each run of RUN columns that begins at `first` lies in one group.
    """
    groups = tl.minimum(first // GROUP, GROUPS - 1)
    numbers = tl.load(base + rows[:, None] * GROUPS + groups[None, :]).to(tl.float32)
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
