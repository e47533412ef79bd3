"""Eight bits: signed numbers with a scale for each row, or for each group of a row.

On a CPU, with one scale a row, inputs are quantized too, each row by its own greatest number, and
the product runs in
integers: torch's `_int_mm` is 1.6 times as fast as bfloat16 at 256 rows and twice at 16. Integers
add up the same in any order, so a row never depends on its neighbours.
"""

from __future__ import annotations

from functools import cache
from typing import Self

import torch
from torch import Tensor

from redraft.ops.packed_layout import PackedLayout
from redraft.quant.weight import PackedWeight, by_rows


class Int8Weight(PackedWeight):
    """values int8 [N, K]; scale [N, K / group]; offset like scale, or None: number = value * scale
    + offset."""

    values: Tensor
    scale: Tensor
    offset: Tensor | None

    def __init__(
        self, values: Tensor, scale: Tensor, dtype: torch.dtype, offset: Tensor | None = None
    ) -> None:
        super().__init__(
            (values.shape[0], values.shape[1]), dtype, values=values, scale=scale, offset=offset
        )

    @classmethod
    def of(cls, weight: Tensor, dtype: torch.dtype, group: int | None = None) -> Self:
        """The nearest of a matrix: the greatest number of each row (or group of a row) is 127."""
        values, scale = nearest_int8(weight, dtype, group)
        return cls(values, scale.float(), dtype)

    def rows(self, first: int, last: int) -> Tensor:
        return self._numbers(slice(first, last))

    def gather(self, index: Tensor) -> Tensor:
        return self._numbers(index)

    def _numbers(self, index: slice | Tensor) -> Tensor:
        values, scale = self.values[index], self.scale[index].unsqueeze(-1).to(self.dtype)
        numbers: Tensor = values.to(self.dtype).unflatten(-1, (scale.shape[-2], -1)) * scale
        if self.offset is not None:
            numbers = numbers + self.offset[index].unsqueeze(-1).to(self.dtype)
        return numbers.flatten(-2)

    def _lying(self) -> PackedLayout:
        height, width, groups = *self.shape, self.scale.shape[-1]
        group = 0 if groups == 1 and self.offset is None else width // groups
        return PackedLayout(
            "int8",
            (height, width),
            self.values,
            self.scale,
            self.offset,
            group=group,
            scale_dtype=self.scale.dtype,
        )

    def product(self, x: Tensor) -> Tensor:
        plain = self.scale.shape[-1] == 1 and self.offset is None
        if (
            not plain
            or x.device.type != "cpu"
            or x.dtype != torch.bfloat16
            or not _exact_products()
        ):
            return super().product(x)
        flat = x.reshape(-1, self.shape[1])
        own = flat.abs().amax(-1, keepdim=True).float().clamp_min(1e-30) / 127
        values = (flat / own).round().to(torch.int8)
        found = torch._int_mm(values, self.values.T).float().mul_(own).mul_(self.scale[:, 0])
        return found.to(x.dtype).view(*x.shape[:-1], -1)


def nearest_int8(
    weight: Tensor, dtype: torch.dtype, group: int | None = None
) -> tuple[Tensor, Tensor]:
    """Numbers -127 to 127, int8 [N, K], and scales [N, K / group] in `dtype`, to which they are the
    nearest."""

    def nearest(rows: Tensor) -> tuple[Tensor, Tensor]:
        grouped = rows.float().unflatten(-1, (-1, group or rows.shape[-1]))
        scale = (grouped.abs().amax(-1, keepdim=True).clamp_min(1e-30) / 127).to(dtype)
        values = (grouped / scale.float()).round().clamp(-127, 127).to(torch.int8)
        return values.flatten(-2), scale[..., 0]

    return by_rows(weight, nearest)


@cache
def _exact_products() -> bool:
    """Whether integer products are exact here: processors without VNNI may cut sums of two products
    off at 16 bits."""
    left, right = (
        torch.full((32, 512), 127, dtype=torch.int8),
        torch.full((64, 512), 127, dtype=torch.int8),
    )
    left[1::2], right[1::2] = -127, -127
    try:
        found = torch._int_mm(left, right.T)
    except RuntimeError:
        return False
    return torch.equal(found, (left.int()[:, None] * right.int()[None]).sum(-1, dtype=torch.int32))


class Int8Table(Int8Weight):
    """Rows that are looked up, such as an embedding: its product is that of its numbers, as it is
    chunk by chunk."""

    def product(self, x: Tensor) -> Tensor:
        return PackedWeight.product(self, x)
