"""Packed layouts: how the numbers of matrices lie in memory, as a kernel reads them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd
from typing import Literal

import torch
from torch import Tensor

# How a number is encoded; "plain" is a float of the network's dtype.
Form = Literal["plain", "int8", "int4", "fp8", "fp4"]
# Quantized numbers lie in words of 16 bits, which hold four numbers of the first forms, two of the
# others. 16 words are a block of columns: number i of word w is column 16 i + w of the block. So
# each number of a word has its own 16 columns, and they meet inputs that lie side by side.
FOUR_IN_A_WORD = ("int4", "fp4")
BLOCK_WORDS = 16
# A group of columns in a matrix without words has a multiple of these, or 16, 32 or 64 columns.
TILE_COLUMNS = 128
# A part of a stack has a multiple of so many rows: then its scales too begin at an address from
# which a kernel can read many at once.
MIN_PART_ROWS = 64


@dataclass(frozen=True)
class PackedLayout:
    """The layout of one or many matrices [N, K] of one shape and encoding.

    A number is (value * scale + offset) * factor. Scale and offset belong to a row (group 0) or to
    a group of columns in a row, the factor to a matrix. An int4 value is the stored one less 8.

    Attributes:
        shape: (N, K).
        values: the encoded numbers.
        scales: [N] or [N, K / group]; in fp4 the bits of float8 e4m3.
        offsets: like scales, or None for zeros.
        factors: float32 [matrices * parts], or None for ones.
        group: the number of columns that share a scale, 0 for all.
        parts: the number of matrices that stand on top of one another and share an input.
        table: values, scales and offsets hold addresses, int64 [matrices * parts], of the tensors.
        in_words: the numbers lie in words, uint8 [N, bytes of a row], as `pack_words` packs them.
    """

    form: Form
    shape: tuple[int, int]
    values: Tensor
    scales: Tensor | None = None
    offsets: Tensor | None = None
    factors: Tensor | None = None
    group: int = 0
    parts: int = 1
    table: bool = False
    scale_dtype: torch.dtype = torch.float32
    in_words: bool = False

    @property
    def has_kernel(self) -> bool:
        """True if the kernels read this shape and group."""
        if self.in_words:
            return self.shape[1] % self.block_columns == 0 and (
                self.group in (0, 16, 32) or self.group % self.block_columns == 0
            )
        if self.form in FOUR_IN_A_WORD:
            return False
        return self.group in (0, 16, 32, 64) or self.group % TILE_COLUMNS == 0

    @property
    def block_columns(self) -> int:
        """The fewest columns that a kernel reads at a time."""
        return word_block(self.form) if self.in_words else BLOCK_WORDS

    @property
    def identity(self) -> tuple[object, ...]:
        """The addresses of the tensors, and the kind: a table that was built from layouts is valid
        as long as their identities stay the same."""
        tensors = (self.values, self.scales, self.offsets, self.factors)
        return (*(None if part is None else part.data_ptr() for part in tensors), self.kind)

    @property
    def kind(self) -> tuple[object, ...]:
        """All that matrices must have in common to stand in one table, their device too: a table
        holds addresses."""
        return (
            self.values.device,
            self.form,
            self.shape,
            self.group,
            self.parts,
            self.offsets is None,
            self.factors is None,
            self.scale_dtype,
            self.in_words,
        )


def table_of(layouts: list[PackedLayout], parts: int) -> PackedLayout | None:
    """Return one layout of many matrices: a table of their addresses.

    It is None where their kinds differ, or where they are tables or have parts themselves.
    """
    first = layouts[0]
    if first.table or first.parts > 1 or any(one.kind != first.kind for one in layouts):
        return None

    def addresses(tensors: list[Tensor | None]) -> Tensor | None:
        found = [tensor.data_ptr() for tensor in tensors if tensor is not None]
        assert not any(address % 16 for address in found), "kernels read 16 bytes at a time"
        return torch.tensor(found, device=first.values.device) if found else None

    factors = [one.factors for one in layouts if one.factors is not None]
    values = addresses([one.values for one in layouts])
    assert values is not None
    return PackedLayout(
        first.form,
        first.shape,
        values,
        addresses([one.scales for one in layouts]),
        addresses([one.offsets for one in layouts]),
        torch.cat(factors) if factors else None,
        first.group,
        parts,
        True,
        first.scale_dtype,
        first.in_words,
    )


def stack_of(layouts: list[PackedLayout]) -> PackedLayout | None:
    """Return one layout of matrices with a common input, on top of one another.

    Its parts are as high as the heights allow. It is None where the matrices differ in more than
    their heights, or where the parts would be too low.
    """
    height = gcd(*(one.shape[0] for one in layouts))
    pieces: list[PackedLayout] = []
    for one in layouts:
        if one.table or one.shape[0] % height:
            return None
        pieces += _pieces(one, height)
    return table_of(pieces, len(pieces)) if height % MIN_PART_ROWS == 0 else None


def _pieces(layout: PackedLayout, height: int) -> list[PackedLayout]:
    """Cut a matrix into pieces of `height` rows each."""

    def cut(tensor: Tensor | None, first: int) -> Tensor | None:
        return None if tensor is None else tensor[first : first + height]

    return [
        replace(
            layout,
            shape=(height, layout.shape[1]),
            values=layout.values[first : first + height],
            scales=cut(layout.scales, first),
            offsets=cut(layout.offsets, first),
        )
        for first in range(0, layout.shape[0], height)
    ]


def word_block(form: str) -> int:
    """Return the number of columns in a block of words."""
    return BLOCK_WORDS * (4 if form in FOUR_IN_A_WORD else 2)


def pack_words(values: Tensor, form: str) -> Tensor:
    """Pack the bits of numbers into words: uint8 [..., K] to the bytes of words, uint8 [..., n].

    Numbers of four bits follow one another from a word's lowest bits on. Int8 too, with the sign
    turned, so that it counts from -128. Of two floats of eight bits the first has bits 15 and 10 to
    4, where a bfloat16 has them, and the second the others.

    Args:
        values: numbers 0 to 15 of four bits, or the bits of eight.
    """
    if form in FOUR_IN_A_WORD:
        a, b, c, d = values.to(torch.uint8).unflatten(-1, (-1, 4, BLOCK_WORDS)).unbind(-2)
        low, high = a | (b << 4), c | (d << 4)
    else:
        low, high = values.view(torch.uint8).unflatten(-1, (-1, 2, BLOCK_WORDS)).unbind(-2)
        if form == "int8":
            low, high = low ^ 0x80, high ^ 0x80
        else:
            low, high = (
                ((low & 0x0F) << 4) | (high & 0x0F),
                (low & 0x80) | (high & 0x70) | ((high & 0x80) >> 4) | ((low & 0x70) >> 4),
            )
    packed: Tensor = torch.stack((low, high), dim=-1)
    return packed.flatten(-3)


def unpack_words(packed: Tensor, form: str) -> Tensor:
    """Return the bits of the numbers that `pack_words` packed, uint8 [..., K]."""
    low, high = packed.unflatten(-1, (-1, BLOCK_WORDS, 2)).unbind(-1)
    parts: tuple[Tensor, ...]
    if form in FOUR_IN_A_WORD:
        parts = (low & 15, low >> 4, high & 15, high >> 4)
    elif form == "int8":
        parts = (low ^ 0x80, high ^ 0x80)
    else:
        first = (high & 0x80) | ((high & 0x07) << 4) | (low >> 4)
        parts = (first, ((high & 0x08) << 4) | (high & 0x70) | (low & 0x0F))
    return torch.stack(parts, dim=-2).flatten(-3)
