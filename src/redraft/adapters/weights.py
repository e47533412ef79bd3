"""Weights with a low-rank update. They stand in place of a weight, as quantized ones do.

y = W x + scale * B (A x)        W frozen, whole or quantized; A [r, K], B [N, r]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from redraft.ops.linear import WeightLike, linear
from redraft.ops.packed_layout import PackedLayout
from redraft.quant import ExpertList, PackedWeight

Base = Tensor | PackedWeight
ExpertBase = Tensor | ExpertList


class Adapted(nn.Module):
    """A frozen weight [..., N, K] with a low-rank update of each of its matrices.

    B begins as zeros, so that at first nothing is changed.

    Args:
        base: the weight. rank, scale: see `LoraConfig`.

    Attributes:
        lora_a: float32 [..., r, K]. lora_b: float32 [..., N, r].
    """

    def __init__(self, base: Base | ExpertBase, rank: int, scale: float) -> None:
        super().__init__()
        self.base: Any = base.requires_grad_(False)
        self.shape, self.dtype, self.scale = base.shape, base.dtype, scale
        *count, rows, columns = self.shape
        device = device_of(base)
        self.lora_a = nn.Parameter(torch.zeros(*count, rank, columns, device=device))
        self.lora_b = nn.Parameter(torch.zeros(*count, rows, rank, device=device))

    def reset(self, generator: torch.Generator) -> None:
        """Draw each A as PEFT does (uniform, Kaiming's with a = sqrt(5)); B is zero."""
        drawn = torch.rand(self.lora_a.shape, generator=generator)
        with torch.no_grad():
            self.lora_a.copy_((2 * drawn - 1) * self.lora_a.shape[-1] ** -0.5)
            self.lora_b.zero_()

    def merged(self) -> Tensor:
        """Return W + scale * B A, float32 [..., N, K]."""
        base = self.base if isinstance(self.base, Tensor) else self.base.dequantize()
        return base.float() + self.scale * (self.lora_b @ self.lora_a)

    def packed_layout(self) -> PackedLayout | None:
        """Return None: no kernel reads an update."""
        return None


class AdaptedMatrix:
    """A matrix [N, K] in a weight's place: what a network asks of it beside its products."""

    base: Any
    shape: torch.Size

    def __getitem__(self, index: Any) -> Tensor:
        raise TypeError("an embedding has no adapter here")

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def device(self) -> torch.device:
        return device_of(self.base)

    @property
    def ndim(self) -> int:
        return 2


class LoraWeight(AdaptedMatrix, Adapted):
    """A frozen matrix [N, K] with a low-rank update.

    Args:
        dropout: see `LoraConfig`; the others are those of `Adapted`.
    """

    def __init__(self, base: Base, rank: int, scale: float, dropout: float = 0.0) -> None:
        super().__init__(base, rank, scale)
        self.dropout = dropout

    def product(self, x: Tensor) -> Tensor:
        """Return the adapted product [..., N] of x [..., K]."""
        given = F.dropout(x, self.dropout, self.training) if self.dropout else x
        return linear(x, self.base) + update(given, self.lora_a, self.lora_b, self.scale)

    def products(self, x: Tensor, others: Sequence[WeightLike]) -> list[Tensor]:
        """Return the products with this weight and with others."""
        return [self.product(x), *(other.product(x) for other in others)]


class LoraExperts(Adapted):
    """Frozen matrices [experts, N, K], each with a low-rank update of its own."""

    def __getitem__(self, number: int) -> _Expert:
        return _Expert(self.base[number], self.lora_a[number], self.lora_b[number], self.scale)


class _Expert:
    """The weight of one expert, for the length of a product."""

    def __init__(self, base: Base, lora_a: Tensor, lora_b: Tensor, scale: float) -> None:
        self.base, self.lora_a, self.lora_b, self.scale = base, lora_a, lora_b, scale

    def product(self, x: Tensor) -> Tensor:
        return linear(x, self.base) + update(x, self.lora_a, self.lora_b, self.scale)

    def products(self, x: Tensor, others: Sequence[WeightLike]) -> list[Tensor]:
        return [self.product(x), *(other.product(x) for other in others)]

    def packed_layout(self) -> PackedLayout | None:
        return None

    def __getitem__(self, index: Any) -> Tensor:
        raise TypeError("an embedding has no adapter here")


def device_of(base: Base | ExpertBase) -> torch.device:
    """Return where a weight is."""
    return base[0].device if isinstance(base, ExpertList) else base.device


def update(x: Tensor, lora_a: Tensor, lora_b: Tensor, scale: float) -> Tensor:
    """Return scale * B (A x), [..., N] of x [..., K]."""
    return linear(linear(x, lora_a.to(x.dtype)), lora_b.to(x.dtype)) * scale
