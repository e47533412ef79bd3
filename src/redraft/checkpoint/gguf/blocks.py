"""Block types of ggml: how a file stores quantized rows, and how they become int4 or int8.

A row is a chain of blocks of 32 or 256 columns, each with its scales inside. Here the integers stay
as they are; their scales are put beside them, one for each group of columns. A new type is one
function and one row of BLOCK_TYPES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.checkpoint.gguf.block_bytes import Blocks, half, spread
from redraft.checkpoint.gguf.few_bits import UNPACK
from redraft.errors import CheckpointError
from redraft.quant import Int4Weight, Int8Table, Int8Weight, Nvfp4Weight, PackedWeight
from redraft.quant.bits import pack_nibbles
from redraft.quant.mx import NAN, fp4_of_mx, powers_of_two
from redraft.quant.nvfp4 import decode_e2m1

# Rows that are converted at a time.
TILE_ROWS = 512

FLOATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True)
class BlockType:
    """A type of tensor in a file.

    Attributes:
        columns, nbytes: of a block.
        bits: of a number in memory.
        unpack: returns the integers, scales and offsets of blocks, uint8 [n, nbytes]; None for
            floats.
        floats: the numbers are floats of four bits, and the scales are bits too: of powers of two
            for 32, or of float8 for 16.
    """

    name: str
    columns: int
    nbytes: int
    bits: int = 0
    unpack: Callable[[Tensor], Blocks] | None = None
    floats: bool = False

    @property
    def middle(self) -> int:
        """The middle of the range of integers that begin at 0."""
        return 8 if self.bits == 4 else 16


def _nibbles(blocks: Tensor, at: int) -> Tensor:
    """Return 32 numbers from 16 bytes, [n, 32]: first the lower halves, then the upper ones."""
    part = blocks[:, at : at + 16]
    return torch.cat((part & 15, part >> 4), dim=-1)


def _fifth(blocks: Tensor, at: int) -> Tensor:
    """Return the fifth bits of 32 numbers, in their places, [n, 32]."""
    shifts = torch.arange(8, dtype=torch.uint8, device=blocks.device)
    return (((blocks[:, at : at + 4, None] >> shifts) & 1) << 4).flatten(1)


def _q4_0(blocks: Tensor) -> Blocks:
    scale = half(blocks, 0)
    return _nibbles(blocks, 2), scale, -8 * scale


def _q4_1(blocks: Tensor) -> Blocks:
    return _nibbles(blocks, 4), half(blocks, 0), half(blocks, 2)


def _q5_0(blocks: Tensor) -> Blocks:
    return (_nibbles(blocks, 6) | _fifth(blocks, 2)).to(torch.int8) - 16, half(blocks, 0), None


def _q5_1(blocks: Tensor) -> Blocks:
    return (
        (_nibbles(blocks, 8) | _fifth(blocks, 4)).to(torch.int8),
        half(blocks, 0),
        half(blocks, 2),
    )


def _q8_0(blocks: Tensor) -> Blocks:
    return blocks[:, 2:].contiguous().view(torch.int8), half(blocks, 0), None


def _eight_groups(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scales and offsets of 8 groups, [n, 8] each.

    Bytes 4 to 15 hold them in six bits; two floats in front multiply them.
    """
    low, middle, high = blocks[:, 4:16].split(4, dim=-1)
    scale = torch.cat((low & 63, (high & 15) | ((low >> 2) & 48)), dim=-1)
    minimum = torch.cat((middle & 63, (high >> 4) | ((middle >> 2) & 48)), dim=-1)
    return half(blocks, 0) * scale, -half(blocks, 2) * minimum


def _q4_k(blocks: Tensor) -> Blocks:
    return spread(blocks[:, 16:], 32, (0, 4), 15), *_eight_groups(blocks)


def _q5_k(blocks: Tensor) -> Blocks:
    high = spread(blocks[:, 16:48], 32, tuple(range(8)), 1)
    values = (spread(blocks[:, 48:], 32, (0, 4), 15) | (high << 4)).to(torch.int8)
    return values, *_eight_groups(blocks)


def _q6_k(blocks: Tensor) -> Blocks:
    high = spread(blocks[:, 128:192], 32, (0, 2, 4, 6), 3)
    values = (spread(blocks[:, :128], 64, (0, 4), 15) | (high << 4)).to(torch.int8) - 32
    return values, half(blocks, 208) * blocks[:, 192:208].contiguous().view(torch.int8), None


def _mxfp4(blocks: Tensor) -> Blocks:
    return _nibbles(blocks, 1), blocks[:, :1], None


def _nvfp4(blocks: Tensor) -> Blocks:
    return spread(blocks[:, 4:], 8, (0, 4), 15), blocks[:, :4], None


# By ggml's number of the type.
BLOCK_TYPES = {
    0: BlockType("F32", 1, 4),
    1: BlockType("F16", 1, 2),
    30: BlockType("BF16", 1, 2),
    2: BlockType("Q4_0", 32, 18, 4, _q4_0),
    3: BlockType("Q4_1", 32, 20, 4, _q4_1),
    6: BlockType("Q5_0", 32, 22, 8, _q5_0),
    7: BlockType("Q5_1", 32, 24, 8, _q5_1),
    8: BlockType("Q8_0", 32, 34, 8, _q8_0),
    12: BlockType("Q4_K", 256, 144, 4, _q4_k),
    13: BlockType("Q5_K", 256, 176, 8, _q5_k),
    14: BlockType("Q6_K", 256, 210, 8, _q6_k),
    10: BlockType("Q2_K", 256, 84, 4, UNPACK["Q2_K"]),
    11: BlockType("Q3_K", 256, 110, 4, UNPACK["Q3_K"]),
    16: BlockType("IQ2_XXS", 256, 66, 8, UNPACK["IQ2_XXS"]),
    17: BlockType("IQ2_XS", 256, 74, 8, UNPACK["IQ2_XS"]),
    18: BlockType("IQ3_XXS", 256, 98, 8, UNPACK["IQ3_XXS"]),
    19: BlockType("IQ1_S", 256, 50, 4, UNPACK["IQ1_S"]),
    20: BlockType("IQ4_NL", 32, 18, 8, UNPACK["IQ4_NL"]),
    21: BlockType("IQ3_S", 256, 110, 4, UNPACK["IQ3_S"]),
    22: BlockType("IQ2_S", 256, 82, 8, UNPACK["IQ2_S"]),
    23: BlockType("IQ4_XS", 256, 136, 8, UNPACK["IQ4_XS"]),
    29: BlockType("IQ1_M", 256, 56, 4, UNPACK["IQ1_M"]),
    34: BlockType("TQ1_0", 256, 54, 4, UNPACK["TQ1_0"]),
    35: BlockType("TQ2_0", 256, 66, 4, UNPACK["TQ2_0"]),
    39: BlockType("MXFP4", 32, 17, 4, _mxfp4, floats=True),
    40: BlockType("NVFP4", 64, 36, 4, _nvfp4, floats=True),
}
# Types that are not read, for the message that says so.
UNREAD_TYPES = {
    9: "Q8_1", 15: "Q8_K", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
}  # fmt: skip


def load_blocks(
    raw: Tensor, block: BlockType, dtype: torch.dtype, *, table: bool = False
) -> PackedWeight:
    """Return a matrix from its rows in a file.

    Args:
        raw: uint8 [N, bytes of a row].
        dtype: of computation with the matrix.
        table: its rows are looked up: a number takes a byte, whatever it takes in the file.
    """
    assert block.unpack is not None
    if block.floats:
        return _load_floats(raw, block, dtype, table=table)
    rows, width = raw.shape[0], raw.shape[1] // block.nbytes * block.columns
    nibbles = block.bits == 4 and not table
    values = torch.empty(
        rows,
        width // 2 if nibbles else width,
        dtype=torch.uint8 if nibbles else torch.int8,
        device=raw.device,
    )
    scales: list[Tensor] = []
    offsets: list[Tensor] = []
    for first in range(0, rows, TILE_ROWS):
        last = min(first + TILE_ROWS, rows)
        integers, scale, offset = block.unpack(raw[first:last].reshape(-1, block.nbytes))
        integers = integers.view(last - first, width)
        if offset is not None and not nibbles:
            # Centred, so that the numbers that are rounded to the dtype are small.
            integers = integers.to(torch.int8) - block.middle
            offset = offset + block.middle * scale
        values[first:last] = pack_nibbles(integers) if nibbles else integers
        scales.append(scale.reshape(last - first, -1))
        if offset is not None:
            offsets.append(offset.reshape(last - first, -1))
    scale, offset = torch.cat(scales), torch.cat(offsets) if offsets else None
    if nibbles:
        assert offset is not None
        return Int4Weight(values, scale, offset, dtype)
    weight = Int8Weight(
        values, scale.to(dtype), dtype, None if offset is None else offset.to(dtype)
    )
    return weight.as_table() if table else weight


def _load_floats(raw: Tensor, block: BlockType, dtype: torch.dtype, *, table: bool) -> PackedWeight:
    """Return a matrix of floats of four bits, or a table of their doubles, which are integers."""
    assert block.unpack is not None
    codes, scale, _ = block.unpack(raw.reshape(-1, block.nbytes))
    values, bits = (part.reshape(len(raw), -1) for part in (codes, scale))
    powers = block.name == "MXFP4"
    if powers and bool((bits == NAN).any()):
        raise CheckpointError("a matrix in MXFP4 holds NaN: take an intact file")
    if not powers and bool((bits > 0x7F).any()):
        raise CheckpointError("a matrix in NVFP4 has a scale with a sign: take an intact file")
    # ggml reads the scale that would be NaN as zero.
    bits = bits if powers else torch.where(bits == 0x7F, 0, bits)
    if table:
        numbers = powers_of_two(bits) if powers else bits.view(torch.float8_e4m3fn).float()
        doubled = (2 * decode_e2m1(values)).to(torch.int8)
        return Int8Table(doubled, (numbers / 2).to(dtype), dtype)
    if powers:
        return fp4_of_mx(pack_nibbles(values), bits, dtype)
    one = torch.ones((), device=raw.device)
    return Nvfp4Weight(pack_nibbles(values), bits.view(torch.float8_e4m3fn), one, dtype)


def matrix_bytes(
    block: BlockType, rows: int, columns: int, dtype: torch.dtype, *, table: bool = False
) -> int:
    """Return the bytes in memory of a matrix that a file stores in blocks of this type."""
    if block.unpack is None:
        return rows * columns * dtype.itemsize
    # Every row has its own scales, so that one row tells the bytes of all.
    row = torch.zeros(1, columns // block.columns * block.nbytes, dtype=torch.uint8)
    return rows * load_blocks(row, block, dtype, table=table).nbytes
