"""Four bits: numbers 0 to 15 with a scale and an offset for each group of a row.

On a CPU that torch has a kernel for, they lie in that kernel's order: blocks of rows, in which a
byte holds one column of two rows. Few rows of bfloat16 (an expert's share of a canvas) go through
the kernel; for many it is faster to unpack a tile and have the machine's own product. On a CUDA
device they lie in the order of a kernel of ours: blocks of columns.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, Self

import torch
from torch import Tensor

from redraft.ops.packed_layout import BLOCK_COLUMNS, PackedLayout, pack_blocks, unpack_blocks
from redraft.ops.triton import KERNEL_DEVICES
from redraft.quant.weight import PackedWeight, by_rows, halves, pack

FEW = 64  # rows up to which the kernel is faster
GROUPS = (32, 64, 128, 256)  # that the kernel knows
MIDDLE = 8  # the kernel takes this from every number
Order = Literal[
    "columns", "rows", "blocks"
]  # two columns a byte; torch's kernel for CPUs; ours for CUDA devices


class Int4Weight(PackedWeight):
    """packed: uint8 [N, K / 2], in one of the orders. scale, zero: [N, K / group], zero None where
    ours need not add it; in the order of the CPU's kernel both in `pairs` [K / group, N, 2]. number
    = (value - 8) * scale + zero: the product is rounded where it is small."""

    packed: Tensor
    scale: Tensor | None
    zero: Tensor | None
    pairs: Tensor | None

    def __init__(self, packed: Tensor, scale: Tensor, offset: Tensor, dtype: torch.dtype) -> None:
        """packed in columns, the lower half of a byte first; number = value * scale + offset."""
        zero = offset + MIDDLE * scale
        shape = packed.shape[0], 2 * packed.shape[1]
        self.group = shape[1] // scale.shape[1]
        self.order: Order = "columns"
        super().__init__(
            shape, dtype, packed=packed, scale=scale.to(dtype), zero=zero.to(dtype), pairs=None
        )
        self._settle()

    def _settle(self) -> None:
        self._lie_in(
            best_order((self.shape[0], self.shape[1]), self.group, self.dtype, self.device)
        )

    def _lie_in(self, order: Order) -> None:
        """Change the order."""
        if order == self.order:
            return
        values = self._values(0, self.shape[0])
        if self.pairs is not None:
            self.scale, self.zero = (part.T.contiguous() for part in self.pairs.unbind(-1))
            self.pairs = None
        assert self.scale is not None
        if order == "rows":
            zero = torch.zeros_like(self.scale) if self.zero is None else self.zero
            self.pairs = torch.stack((self.scale, zero), -1).transpose(0, 1).contiguous()
            self.packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values.int(), 1)
            self.scale = self.zero = None
        elif order == "blocks":
            self.packed = pack_blocks(values)
            self.zero = self.zero if self.zero is not None and bool(self.zero.any()) else None
        else:
            self.packed = pack(values)
        self.order = order

    def _values(self, first: int, last: int) -> Tensor:
        """Numbers 0 to 15, uint8 [n, K]; of whole blocks where they lie in rows."""
        if self.order == "rows":
            block, width = _block_rows(), self.shape[1]
            packed = self.packed.view(-1, width, block // 2)[first // block : last // block]
            return _out_of_order(packed, width, block)
        return (unpack_blocks if self.order == "blocks" else halves)(self.packed[first:last])

    def _lying(self) -> PackedLayout | None:
        if self.order != "blocks" or self.scale is None:
            return None
        shape = self.shape[0], self.shape[1]
        return PackedLayout(
            "int4",
            shape,
            self.packed,
            self.scale,
            self.zero,
            group=self.group,
            scale_dtype=self.scale.dtype,
        )

    @classmethod
    def of(cls, weight: Tensor, dtype: torch.dtype, group: int = 64) -> Self:
        """The nearest of a matrix among symmetric ones: -8 to 7 times a scale."""
        values, scale = nearest_int4(weight, dtype, group)
        return cls(pack(values + MIDDLE), scale.float(), -MIDDLE * scale.float(), dtype)

    def rows(self, first: int, last: int) -> Tensor:
        if self.pairs is None:
            assert self.scale is not None
            values: Tensor = (self._values(first, last).view(torch.int8) - MIDDLE).unflatten(
                -1, (-1, self.group)
            )
            numbers = values.to(self.dtype) * self.scale[first:last].unsqueeze(-1)
            if self.zero is not None:
                numbers = numbers + self.zero[first:last].unsqueeze(-1)
            return numbers.flatten(-2)
        block = _block_rows()
        begin, end = first // block * block, -(-last // block) * block
        return self.columns(begin, end).T[first - begin : last - begin]

    def columns(self, first: int, last: int) -> Tensor:
        """W^T [K, n] of rows [first, last), which are whole blocks where they lie in the kernel's
        order."""
        if self.pairs is None:
            return super().columns(first, last)
        block, width = _block_rows(), self.shape[1]
        packed = self.packed.view(-1, width, block // 2)[first // block : last // block].transpose(
            0, 1
        )
        values = torch.empty(width, packed.shape[1], 2, block // 2, dtype=self.dtype)
        for half, bits in enumerate((packed & 15, packed >> 4)):
            values[:, :, half] = bits.view(torch.int8) - MIDDLE
        scale, zero = (part.contiguous() for part in self.pairs[:, first:last].unbind(-1))
        values = values.view(-1, self.group, last - first)
        numbers: Tensor = torch.addcmul(zero[:, None], values, scale[:, None])
        return numbers.view(width, last - first)

    def product(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, self.shape[1])
        if self.pairs is None or len(flat) > FEW:
            return super().product(x)
        found: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            flat.contiguous(), self.packed, self.group, self.pairs
        )
        return found.view(*x.shape[:-1], -1)


def nearest_int4(weight: Tensor, dtype: torch.dtype, group: int) -> tuple[Tensor, Tensor]:
    """Numbers -8 to 7, int8 [N, K], and scales [N, K / group] in `dtype`, to which they are the
    nearest. The greatest number of a group becomes -8, whatever its sign, for there is no 8."""

    def nearest(rows: Tensor) -> tuple[Tensor, Tensor]:
        grouped = rows.float().unflatten(-1, (-1, group))
        greatest = grouped.gather(-1, grouped.abs().argmax(-1, keepdim=True))
        scale = torch.where(greatest == 0, 1e-30, -greatest / 8).to(dtype)
        return (grouped / scale.float()).round().clamp(-8, 7).to(torch.int8).flatten(-2), scale[
            ..., 0
        ]

    return by_rows(weight, nearest)


def best_order(
    shape: tuple[int, int], group: int, dtype: torch.dtype, device: torch.device
) -> Order:
    """The order in which a kernel reads a matrix, where there is one for it."""
    if device.type in KERNEL_DEVICES:
        return "blocks" if shape[1] % BLOCK_COLUMNS == 0 else "columns"
    if device.type != "cpu" or dtype != torch.bfloat16 or group not in GROUPS:
        return "columns"
    block = _block_rows()
    return "rows" if block > 0 and shape[0] % block == 0 and shape[1] % group == 0 else "columns"


@cache
def _block_rows() -> int:
    """Rows of a block in the kernel's order on this machine, 0 where that is another than is known
    here."""
    for block in (64, 32):
        values = torch.randint(
            0, 16, (2 * block, 64), dtype=torch.int32, generator=torch.Generator().manual_seed(0)
        )
        try:
            packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values, 1)
        except (RuntimeError, AttributeError):
            return 0
        if torch.equal(_out_of_order(packed, 64, block).int(), values):
            return block
    return 0


def _out_of_order(packed: Tensor, width: int, block: int) -> Tensor:
    """Numbers 0 to 15, uint8 [N, width], that lie in the kernel's order in blocks of so many
    rows."""
    order = packed.view(-1, width, block // 2)
    return torch.cat((order & 15, order >> 4), dim=-1).transpose(1, 2).reshape(-1, width)
