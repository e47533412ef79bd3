"""Blocks: how ggml lays numbers of few bits out, and what becomes of them here.

A row is a chain of blocks of 32 or 256 columns, each with its scales inside. Integers stay the
integers they are; scales are put beside them, one for each group of columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.quant import Int4Weight, Int8Table, Int8Weight, PackedWeight
from redraft.quant.weight import pack

# Integers [n, columns], scales [n, groups] and offsets [n, groups] (or None) of n blocks: number =
# integer * scale + offset.
Parts = tuple[Tensor, Tensor, Tensor | None]
TILE = 512  # rows that are unpacked at a time

FLOATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True)
class Kind:
    """A type of tensor. columns, nbytes: of a block. bits: in memory. unpack: of blocks [n,
    nbytes]; None for floats."""

    name: str
    columns: int
    nbytes: int
    bits: int = 0
    unpack: Callable[[Tensor], Parts] | None = None

    @property
    def middle(self) -> int:
        """Of its integers, where these begin at 0."""
        return 8 if self.bits == 4 else 16


def _half(blocks: Tensor, at: int) -> Tensor:
    """A float16 of each block, as float32 [n, 1]."""
    return blocks[:, at : at + 2].contiguous().view(torch.float16).float()


def _nibbles(blocks: Tensor, at: int) -> Tensor:
    """32 numbers [n, 32] from 16 bytes: the lower halves first, then the upper ones."""
    part = blocks[:, at : at + 16]
    return torch.cat((part & 15, part >> 4), dim=-1)


def _fifth(blocks: Tensor, at: int) -> Tensor:
    """The fifth bit of 32 numbers, in its place."""
    shifts = torch.arange(8, dtype=torch.uint8, device=blocks.device)
    return (((blocks[:, at : at + 4, None] >> shifts) & 1) << 4).flatten(1)


def _q4_0(blocks: Tensor) -> Parts:
    scale = _half(blocks, 0)
    return _nibbles(blocks, 2), scale, -8 * scale


def _q4_1(blocks: Tensor) -> Parts:
    return _nibbles(blocks, 4), _half(blocks, 0), _half(blocks, 2)


def _q5_0(blocks: Tensor) -> Parts:
    return (_nibbles(blocks, 6) | _fifth(blocks, 2)).to(torch.int8) - 16, _half(blocks, 0), None


def _q5_1(blocks: Tensor) -> Parts:
    return (
        (_nibbles(blocks, 8) | _fifth(blocks, 4)).to(torch.int8),
        _half(blocks, 0),
        _half(blocks, 2),
    )


def _q8_0(blocks: Tensor) -> Parts:
    return blocks[:, 2:].contiguous().view(torch.int8), _half(blocks, 0), None


def _eight_groups(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Scales and offsets [n, 8] of blocks that hold them in six bits, in bytes 4 to 15, times two
    floats in front."""
    low, middle, high = blocks[:, 4:16].split(4, dim=-1)
    scale = torch.cat((low & 63, (high & 15) | ((low >> 2) & 48)), dim=-1)
    least = torch.cat((middle & 63, (high >> 4) | ((middle >> 2) & 48)), dim=-1)
    return _half(blocks, 0) * scale, -_half(blocks, 2) * least


def _spread(part: Tensor, width: int, shifts: tuple[int, ...], mask: int) -> Tensor:
    """Each `width` bytes give so many numbers of their lowest bits, then as many of the next: [n,
    bytes * shifts]."""
    by = torch.tensor(shifts, dtype=torch.uint8, device=part.device)
    groups: Tensor = part.unflatten(-1, (-1, 1, width))
    return ((groups >> by[:, None]) & mask).flatten(1)


def _q4_k(blocks: Tensor) -> Parts:
    return _spread(blocks[:, 16:], 32, (0, 4), 15), *_eight_groups(blocks)


def _q5_k(blocks: Tensor) -> Parts:
    high = _spread(blocks[:, 16:48], 32, tuple(range(8)), 1)
    return (_spread(blocks[:, 48:], 32, (0, 4), 15) | (high << 4)).to(torch.int8), *_eight_groups(
        blocks
    )


def _q6_k(blocks: Tensor) -> Parts:
    high = _spread(blocks[:, 128:192], 32, (0, 2, 4, 6), 3)
    values = (_spread(blocks[:, :128], 64, (0, 4), 15) | (high << 4)).to(torch.int8) - 32
    return values, _half(blocks, 208) * blocks[:, 192:208].contiguous().view(torch.int8), None


# By ggml's number for the type.
KINDS = {
    0: Kind("F32", 1, 4), 1: Kind("F16", 1, 2), 30: Kind("BF16", 1, 2),
    2: Kind("Q4_0", 32, 18, 4, _q4_0), 3: Kind("Q4_1", 32, 20, 4, _q4_1),
    6: Kind("Q5_0", 32, 22, 8, _q5_0), 7: Kind("Q5_1", 32, 24, 8, _q5_1), 8: Kind("Q8_0", 32, 34, 8, _q8_0),
    12: Kind("Q4_K", 256, 144, 4, _q4_k), 13: Kind("Q5_K", 256, 176, 8, _q5_k), 14: Kind("Q6_K", 256, 210, 8, _q6_k),
}  # fmt: skip
# Types that are not read, for the message that says so.
OTHERS = {
    9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL",
    21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0",
    35: "TQ2_0", 39: "MXFP4", 40: "NVFP4",
}  # fmt: skip


def packed(raw: Tensor, kind: Kind, dtype: torch.dtype, *, table: bool = False) -> PackedWeight:
    """A matrix from its rows in a file.

    Args:
        raw: uint8 [N, bytes of a row]. dtype: of what is computed with the matrix.
        table: rows that are looked up: a byte a number, whatever the file spends.
    """
    assert kind.unpack is not None
    rows, blocks = raw.shape[0], raw.shape[1] // kind.nbytes
    four = kind.bits == 4 and not table
    width = blocks * kind.columns
    values = torch.empty(
        rows,
        width // 2 if four else width,
        dtype=torch.uint8 if four else torch.int8,
        device=raw.device,
    )
    scales: list[Tensor] = []
    offsets: list[Tensor] = []
    for first in range(0, rows, TILE):
        last = min(first + TILE, rows)
        integers, scale, offset = kind.unpack(raw[first:last].reshape(-1, kind.nbytes))
        integers = integers.view(last - first, width)
        if offset is not None and not four:
            # About their middle, so that what is rounded to the dtype is small.
            integers, offset = integers.to(torch.int8) - kind.middle, offset + kind.middle * scale
        values[first:last] = pack(integers) if four else integers
        scales.append(scale.reshape(last - first, -1))
        if offset is not None:
            offsets.append(offset.reshape(last - first, -1))
    scale, offset = torch.cat(scales), torch.cat(offsets) if offsets else None
    if four:
        assert offset is not None
        return Int4Weight(values, scale, offset, dtype)
    return (Int8Table if table else Int8Weight)(
        values, scale.to(dtype), dtype, None if offset is None else offset.to(dtype)
    )


def memory_bytes(kind: Kind, count: int, itemsize: int, *, table: bool = False) -> int:
    """What so many numbers of a type take in memory."""
    if kind.unpack is None:
        return count * itemsize
    _, scale, offset = kind.unpack(torch.zeros(1, kind.nbytes, dtype=torch.uint8))
    scales = scale.numel() + (0 if offset is None else offset.numel())
    return count * (8 if table else kind.bits) // 8 + count // kind.columns * scales * itemsize
