"""Four bits: numbers 0 to 15 with a scale and an offset for each group of a row.

On a CPU that torch has a kernel for, they lie in that kernel's order: blocks of rows, in which a byte holds one column of two
rows. Few rows of bfloat16 (an expert's share of a canvas) go through the kernel; for many it is faster to unpack a tile and
have the machine's own product.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Self

import torch
from torch import Tensor

from redraft.quant.weight import PackedWeight, by_rows, halves

FEW = 64  # rows up to which the kernel is faster
GROUPS = (32, 64, 128, 256)  # that the kernel knows
MIDDLE = 8  # the kernel takes this from every number


class Int4Weight(PackedWeight):
    """packed: uint8 [N, K / 2], two columns a byte, or in the kernel's order. scale, zero: [N, K / group]; in the kernel's
    order both in `pairs` [K / group, N, 2]. number = (value - 8) * scale + zero: the product is rounded where it is small."""

    packed: Tensor
    scale: Tensor | None
    zero: Tensor | None
    pairs: Tensor | None

    def __init__(self, packed: Tensor, scale: Tensor, offset: Tensor, dtype: torch.dtype) -> None:
        """packed in columns, the lower half of a byte first; number = value * scale + offset."""
        zero = offset + MIDDLE * scale
        shape = packed.shape[0], 2 * packed.shape[1]
        self.group = shape[1] // scale.shape[1]
        if in_kernel_order(shape, self.group, dtype, packed.device):
            values = halves(packed)
            order = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values.int(), 1)
            pairs = torch.stack((scale, zero), -1).transpose(0, 1).to(dtype).contiguous()
            super().__init__(shape, dtype, packed=order, scale=None, zero=None, pairs=pairs)
        else:
            super().__init__(shape, dtype, packed=packed, scale=scale.to(dtype), zero=zero.to(dtype), pairs=None)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """The kernel's order is for bfloat16 on a CPU: elsewhere the numbers lie in columns."""
        if self.pairs is not None:
            probe = fn(self.pairs[:0])
            if (probe.dtype, probe.device.type) != (torch.bfloat16, "cpu"):
                self.packed = pack(_out_of_order(self.packed, self.shape[1], _block_rows()))
                self.scale, self.zero = (part.T.contiguous() for part in self.pairs.unbind(-1))
                self.pairs = None
        return super()._apply(fn, recurse)

    @classmethod
    def of(cls, weight: Tensor, dtype: torch.dtype, group: int = 64) -> Self:
        """The nearest of a matrix among symmetric ones: -8 to 7 times a scale."""
        values, scale = nearest_int4(weight, dtype, group)
        return cls(pack(values + MIDDLE), scale.float(), -MIDDLE * scale.float(), dtype)

    def rows(self, first: int, last: int) -> Tensor:
        if self.pairs is None:
            assert self.scale is not None
            assert self.zero is not None
            values: Tensor = (halves(self.packed[first:last]).view(torch.int8) - MIDDLE).unflatten(-1, (-1, self.group))
            numbers = values.to(self.dtype) * self.scale[first:last].unsqueeze(-1) + self.zero[first:last].unsqueeze(-1)
            return numbers.flatten(-2)
        block = _block_rows()
        begin, end = first // block * block, -(-last // block) * block
        return self.columns(begin, end).T[first - begin : last - begin]

    def columns(self, first: int, last: int) -> Tensor:
        """W^T [K, n] of rows [first, last), which are whole blocks where they lie in the kernel's order."""
        if self.pairs is None:
            return super().columns(first, last)
        block, width = _block_rows(), self.shape[1]
        packed = self.packed.view(-1, width, block // 2)[first // block : last // block].transpose(0, 1)
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
        found: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(flat.contiguous(), self.packed, self.group, self.pairs)
        return found.view(*x.shape[:-1], -1)


def nearest_int4(weight: Tensor, dtype: torch.dtype, group: int) -> tuple[Tensor, Tensor]:
    """Numbers -8 to 7, int8 [N, K], and scales [N, K / group] in `dtype`, to which they are the nearest. The greatest number of
    a group becomes -8, whatever its sign, for there is no 8."""

    def nearest(rows: Tensor) -> tuple[Tensor, Tensor]:
        grouped = rows.float().unflatten(-1, (-1, group))
        greatest = grouped.gather(-1, grouped.abs().argmax(-1, keepdim=True))
        scale = torch.where(greatest == 0, 1e-30, -greatest / 8).to(dtype)
        return (grouped / scale.float()).round().clamp(-8, 7).to(torch.int8).flatten(-2), scale[..., 0]

    return by_rows(weight, nearest)


def pack(values: Tensor) -> Tensor:
    """Two numbers 0 to 15 a byte, the first in the lower half: [..., K] to uint8 [..., K / 2]."""
    pairs: Tensor = values.to(torch.uint8).unflatten(-1, (-1, 2))
    return pairs[..., 0] | (pairs[..., 1] << 4)


def in_kernel_order(shape: tuple[int, int], group: int, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a matrix is kept in the order of torch's kernel."""
    if device.type != "cpu" or dtype != torch.bfloat16 or group not in GROUPS:
        return False
    block = _block_rows()
    return block > 0 and shape[0] % block == 0 and shape[1] % group == 0


@cache
def _block_rows() -> int:
    """Rows of a block in the kernel's order on this machine, 0 where that is another than is known here."""
    for block in (64, 32):
        values = torch.randint(0, 16, (2 * block, 64), dtype=torch.int32, generator=torch.Generator().manual_seed(0))
        try:
            packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values, 1)
        except (RuntimeError, AttributeError):
            return 0
        if torch.equal(_out_of_order(packed, 64, block).int(), values):
            return block
    return 0


def _out_of_order(packed: Tensor, width: int, block: int) -> Tensor:
    """Numbers 0 to 15, uint8 [N, width], that lie in the kernel's order in blocks of so many rows."""
    order = packed.view(-1, width, block // 2)
    return torch.cat((order & 15, order >> 4), dim=-1).transpose(1, 2).reshape(-1, width)
