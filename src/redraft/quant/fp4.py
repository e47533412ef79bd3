"""Four bits of a float (e2m1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives), with scales for
groups of sixteen: NVFP4."""

from __future__ import annotations

import torch
from torch import Tensor

from redraft.ops.packed_layout import BLOCK_COLUMNS, PackedLayout, pack_blocks, unpack_blocks
from redraft.ops.triton import KERNEL_DEVICES
from redraft.quant.fp8 import from_e4m3
from redraft.quant.weight import PackedWeight, halves, pack

GROUP = 16


class Fp4Weight(PackedWeight):
    """packed: uint8 [N, K / 2], a byte's lower half first, or, on a CUDA device, in blocks of
    columns. scale: bits of float8_e4m3fn, uint8 [N, K / 16]. factor: of all."""

    packed: Tensor
    scale: Tensor

    def __init__(self, packed: Tensor, scale: Tensor, factor: Tensor, dtype: torch.dtype) -> None:
        shape = packed.shape[0], 2 * packed.shape[1]
        self.in_blocks = False
        super().__init__(shape, dtype, packed=packed, scale=scale.view(torch.uint8))
        self.factor = float(factor)
        self._settle()

    def _settle(self) -> None:
        wanted = self.device.type in KERNEL_DEVICES and self.shape[1] % BLOCK_COLUMNS == 0
        if wanted != self.in_blocks:
            values = self._values(0, self.shape[0])
            self.packed = pack_blocks(values) if wanted else pack(values)
            self.in_blocks = wanted

    def _values(self, first: int, last: int) -> Tensor:
        """Bits of the numbers, uint8 [n, K]."""
        return (unpack_blocks if self.in_blocks else halves)(self.packed[first:last])

    def _lying(self) -> PackedLayout | None:
        if not self.in_blocks:
            return None
        factor = torch.tensor([self.factor], device=self.device)
        shape = self.shape[0], self.shape[1]
        return PackedLayout(
            "fp4",
            shape,
            self.packed,
            self.scale,
            factors=factor,
            group=GROUP,
            scale_dtype=torch.uint8,
        )

    def rows(self, first: int, last: int) -> Tensor:
        scale = from_e4m3(self.scale[first:last]).float() * self.factor
        numbers: Tensor = (
            from_e2m1(self._values(first, last)).to(self.dtype).unflatten(-1, (-1, GROUP))
        )
        scaled: Tensor = numbers * scale.to(self.dtype).unsqueeze(-1)
        return scaled.flatten(-2)


def from_e2m1(nibbles: Tensor) -> Tensor:
    """bfloat16 of four-bit floats, one in each uint8, exactly: bits move to their places, exponents
    by a product."""
    bits = nibbles.to(torch.int16)
    moved = ((bits & 8) << 12) | ((bits & 7) << 6)
    return moved.view(torch.bfloat16) * 2.0**126
