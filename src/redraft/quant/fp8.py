"""Eight bits of a float (e4m3: four bits of exponent, three of fraction), with a scale for each
row."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from redraft.ops.packed_layout import PackedLayout
from redraft.quant.weight import PackedWeight, by_rows

GREATEST = 448.0


class Fp8Weight(PackedWeight):
    """values: the bits of float8_e4m3fn, uint8 [N, K], which stay when a model changes its dtype.
    scale: [N, 1]."""

    values: Tensor
    scale: Tensor

    def __init__(self, values: Tensor, scale: Tensor, dtype: torch.dtype) -> None:
        scale = scale.reshape(-1, 1).expand(values.shape[0], 1)
        super().__init__(
            (values.shape[0], values.shape[1]),
            dtype,
            values=values.view(torch.uint8),
            scale=scale.to(dtype).contiguous(),
        )

    @classmethod
    def of(cls, weight: Tensor, dtype: torch.dtype, group: int | None = None) -> Self:
        """The nearest of a matrix: the greatest number of each row is 448."""
        return cls(*nearest_fp8(weight, dtype), dtype)

    def rows(self, first: int, last: int) -> Tensor:
        return from_e4m3(self.values[first:last]).to(self.dtype) * self.scale[first:last]

    def _lying(self) -> PackedLayout:
        return PackedLayout(
            "fp8",
            (self.shape[0], self.shape[1]),
            self.values,
            self.scale,
            scale_dtype=self.scale.dtype,
        )

    def gather(self, index: Tensor) -> Tensor:
        return from_e4m3(self.values[index]).to(self.dtype) * self.scale[index]


def nearest_fp8(weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Numbers, float8_e4m3fn [N, K], and scales [N, 1] in `dtype`, to which they are the
    nearest."""

    def nearest(rows: Tensor) -> tuple[Tensor, Tensor]:
        scale = (rows.float().abs().amax(-1, keepdim=True).clamp_min(1e-30) / GREATEST).to(dtype)
        return (rows.float() / scale.float()).clamp(-GREATEST, GREATEST).to(
            torch.float8_e4m3fn
        ), scale

    return by_rows(weight, nearest)


def from_e4m3(values: Tensor) -> Tensor:
    """bfloat16 of float8_e4m3fn, or of its bits, exactly. The bits move to their places, exponents
    by a product: several times as fast as torch's own conversion on a CPU. What is no number
    becomes 480, which no such file has."""
    bits = values.view(torch.uint8).to(torch.int16)
    moved = ((bits & 0x80) << 8) | ((bits & 0x7F) << 4)
    return moved.view(torch.bfloat16) * 2.0**120
