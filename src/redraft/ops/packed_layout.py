"""Packed layouts: how the numbers of matrices lie in memory, as a kernel reads them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd
from typing import Literal

import torch
from torch import Tensor

# How a number is encoded; "plain" is a float of the network's dtype.
Form = Literal["plain", "int8", "int4", "fp8", "fp4"]
# Forms with two numbers in a byte. They lie in blocks of BLOCK_COLUMNS columns: byte j of a block
# holds columns j and j + BLOCK_COLUMNS / 2, so that each half of the bytes meets inputs that lie
# side by side.
TWO_PER_BYTE = ("int4", "fp4")
BLOCK_COLUMNS = 64
# Columns of a matrix that a kernel reads at a time.
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

    @property
    def has_kernel(self) -> bool:
        """True if the kernels read this shape and group."""
        if self.form in TWO_PER_BYTE:
            return self.shape[1] % BLOCK_COLUMNS == 0 and (
                self.group in (16, 32) or self.group % BLOCK_COLUMNS == 0
            )
        return self.group in (0, 16, 32, 64) or self.group % TILE_COLUMNS == 0

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


def pack_blocks(values: Tensor) -> Tensor:
    """Pack numbers 0 to 15 two to a byte, in blocks of columns: [..., K] to uint8 [..., K / 2]."""
    low, high = values.to(torch.uint8).unflatten(-1, (-1, 2, BLOCK_COLUMNS // 2)).unbind(-2)
    packed: Tensor = low | (high << 4)
    return packed.flatten(-2)


def unpack_blocks(packed: Tensor) -> Tensor:
    """Return the numbers of `pack_blocks`, uint8 [..., K]."""
    blocks = packed.unflatten(-1, (-1, BLOCK_COLUMNS // 2))
    return torch.cat((blocks & 15, blocks >> 4), dim=-1).flatten(-2)
