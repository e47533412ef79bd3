"""How matrices of one shape lie in memory, as a kernel reads them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd
from typing import Literal

import torch
from torch import Tensor

Form = Literal["plain", "int8", "int4", "fp8", "fp4"]
HALVES = ("int4", "fp4")  # forms with two numbers a byte
COLUMNS = 128  # of a matrix that a kernel meets at a time
# Forms with two numbers a byte lie in blocks of so many columns: byte j of a block has columns j
# and j + BLOCK / 2, so that a # kernel meets each half of a byte beside numbers of the input that
# lie together.
BLOCK = 64
LEAST_ROWS = 64  # a part of a stack has a multiple of them: its scales too begin where a kernel can read many at once


@dataclass(frozen=True)
class Packing:
    """Matrices [N, K], one or many; on top of one another where there are several `parts`, N rows
    each.

    A number is (value * scale + offset) * factor: scale and offset of its row (group 0) or of its
    group of columns, factor of its matrix. int4 values are those stored less 8.

    Attributes:
        table: values, scales and offsets are addresses (int64 [matrices * parts]) of what is meant,
            not it itself.
        scales: bits of e4m3 in fp4. factors: float32 [matrices * parts].
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
    def suits(self) -> bool:
        """Whether there is a kernel for it."""
        if self.form in HALVES:
            return self.shape[1] % BLOCK == 0 and (
                self.group in (16, 32) or self.group % BLOCK == 0
            )
        return self.group in (0, 16, 32, 64) or self.group % COLUMNS == 0

    @property
    def places(self) -> tuple[object, ...]:
        """What a table made of it depends on."""
        tensors = (self.values, self.scales, self.offsets, self.factors)
        return (*(None if part is None else part.data_ptr() for part in tensors), self.alike)

    @property
    def alike(self) -> tuple[object, ...]:
        """What matrices must have in common to stand in one table."""
        return (
            self.form,
            self.shape,
            self.group,
            self.parts,
            self.offsets is None,
            self.factors is None,
            self.scale_dtype,
        )


def table_of(each: list[Packing], parts: int) -> Packing | None:
    """Many as one: where each lies. None where they are not alike, or some have parts of their
    own."""
    first = each[0]
    if first.table or first.parts > 1 or any(one.alike != first.alike for one in each):
        return None

    def addresses(tensors: list[Tensor | None]) -> Tensor | None:
        found = [tensor.data_ptr() for tensor in tensors if tensor is not None]
        assert not any(place % 16 for place in found), "kernels read 16 bytes at a time"
        return torch.tensor(found, device=first.values.device) if found else None

    factors = [one.factors for one in each if one.factors is not None]
    values = addresses([one.values for one in each])
    assert values is not None
    return Packing(
        first.form,
        first.shape,
        values,
        addresses([one.scales for one in each]),
        addresses([one.offsets for one in each]),
        torch.cat(factors) if factors else None,
        first.group,
        parts,
        True,
        first.scale_dtype,
    )


def stack_of(each: list[Packing]) -> Packing | None:
    """Single matrices with the same input, on top of one another, in parts as high as their heights
    allow; None where they are not alike but for their heights."""
    height = gcd(*(one.shape[0] for one in each))
    pieces = []
    for one in each:
        if one.table or one.shape[0] % height:
            return None
        rows = [slice(first, first + height) for first in range(0, one.shape[0], height)]
        values, scales, offsets = (
            [] if part is None else [part[some] for some in rows]
            for part in (one.values, one.scales, one.offsets)
        )
        for number in range(len(rows)):
            pieces.append(
                replace(
                    one,
                    shape=(height, one.shape[1]),
                    values=values[number],
                    scales=scales[number] if scales else None,
                    offsets=offsets[number] if offsets else None,
                )
            )
    return table_of(pieces, len(pieces)) if height % LEAST_ROWS == 0 else None


def packed_halves(values: Tensor) -> Tensor:
    """Two numbers 0 to 15 a byte, in blocks: uint8 [..., K] to [..., K / 2]."""
    low, high = values.to(torch.uint8).unflatten(-1, (-1, 2, BLOCK // 2)).unbind(-2)
    packed: Tensor = low | (high << 4)
    return packed.flatten(-2)


def unpacked_halves(packed: Tensor) -> Tensor:
    """The numbers of `packed_halves`, uint8 [..., K]."""
    blocks = packed.unflatten(-1, (-1, BLOCK // 2))
    return torch.cat((blocks & 15, blocks >> 4), dim=-1).flatten(-2)
