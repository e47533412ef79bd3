"""Four bits of a float (e2m1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives), with scales for groups of sixteen: NVFP4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from redraft.ops.packing import BLOCK, Packing, packed_halves, unpacked_halves
from redraft.ops.triton import DEVICES
from redraft.quant.fp8 import from_e4m3
from redraft.quant.weight import PackedWeight, halves

GROUP = 16


class Fp4Weight(PackedWeight):
    """packed: uint8 [N, K / 2], a byte's lower half first, or, on a CUDA device, in blocks of columns. scale: bits of
    float8_e4m3fn, uint8 [N, K / 16]. factor: of all."""

    packed: Tensor
    scale: Tensor

    def __init__(self, packed: Tensor, scale: Tensor, factor: Tensor, dtype: torch.dtype) -> None:
        shape = packed.shape[0], 2 * packed.shape[1]
        self.in_blocks = False
        super().__init__(shape, dtype, packed=packed, scale=scale.view(torch.uint8))
        self.factor = float(factor)
        self._lie_in_blocks(self._suit_blocks(packed.device))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        suits = self._suit_blocks(fn(torch.empty(0, device=self.device)).device)
        super()._apply(fn, recurse)
        self._lie_in_blocks(suits)
        return self

    def _suit_blocks(self, device: torch.device) -> bool:
        return device.type in DEVICES and self.shape[1] % BLOCK == 0

    def _lie_in_blocks(self, wanted: bool) -> None:
        if wanted != self.in_blocks:
            values = self._values(0, self.shape[0])
            self.packed = packed_halves(values) if wanted else values[:, ::2] | (values[:, 1::2] << 4)
            self.in_blocks = wanted

    def _values(self, first: int, last: int) -> Tensor:
        """Bits of the numbers, uint8 [n, K]."""
        return (unpacked_halves if self.in_blocks else halves)(self.packed[first:last])

    def _lying(self) -> Packing | None:
        if not self.in_blocks:
            return None
        factor = torch.tensor([self.factor], device=self.device)
        shape = self.shape[0], self.shape[1]
        return Packing("fp4", shape, self.packed, self.scale, factors=factor, group=GROUP, scale_dtype=torch.uint8)

    def rows(self, first: int, last: int) -> Tensor:
        scale = from_e4m3(self.scale[first:last]).float() * self.factor
        numbers: Tensor = from_e2m1(self._values(first, last)).to(self.dtype).unflatten(-1, (-1, GROUP))
        scaled: Tensor = numbers * scale.to(self.dtype).unsqueeze(-1)
        return scaled.flatten(-2)


def from_e2m1(nibbles: Tensor) -> Tensor:
    """bfloat16 of four-bit floats, one in each uint8, exactly: bits move to their places, exponents by a product."""
    bits = nibbles.to(torch.int16)
    moved = ((bits & 8) << 12) | ((bits & 7) << 6)
    return moved.view(torch.bfloat16) * 2.0**126
