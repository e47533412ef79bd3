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


class LoraWeight(nn.Module):
    """A frozen matrix [N, K] with a low-rank update.

    B begins as zeros, so that at first nothing is changed.

    Args:
        base: the matrix. rank, scale, dropout: see `LoraConfig`.

    Attributes:
        lora_a: float32 [r, K]. lora_b: float32 [N, r].
    """

    def __init__(self, base: Base, rank: int, scale: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.base = frozen(base)
        self.shape, self.dtype = base.shape, base.dtype
        self.scale, self.dropout = scale, dropout
        self.lora_a = nn.Parameter(torch.zeros(rank, self.shape[1], device=base.device))
        self.lora_b = nn.Parameter(torch.zeros(self.shape[0], rank, device=base.device))

    def reset(self, generator: torch.Generator) -> None:
        """Draw A as PEFT does (uniform, Kaiming's with a = sqrt(5)); B is zero."""
        _draw(self.lora_a, self.lora_b, generator)

    def product(self, x: Tensor) -> Tensor:
        """Return the adapted product [..., N] of x [..., K]."""
        given = F.dropout(x, self.dropout, self.training) if self.dropout else x
        return linear(x, self.base) + _update(given, self.lora_a, self.lora_b, self.scale)

    def products(self, x: Tensor, others: Sequence[WeightLike]) -> list[Tensor]:
        """Return the products with this weight and with others."""
        return [self.product(x), *(other.product(x) for other in others)]

    def packed_layout(self) -> PackedLayout | None:
        """Return None: no kernel reads an update."""
        return None

    def merged(self) -> Tensor:
        """Return W + scale * B A, float32 [N, K]."""
        base = self.base if isinstance(self.base, Tensor) else self.base.dequantize()
        return base.float() + self.scale * (self.lora_b @ self.lora_a)

    def __getitem__(self, index: Any) -> Tensor:
        raise TypeError("an embedding has no adapter here")

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def device(self) -> torch.device:
        return self.lora_a.device

    @property
    def ndim(self) -> int:
        return 2


class LoraExperts(nn.Module):
    """Frozen matrices [experts, N, K], each with a low-rank update of its own.

    Attributes:
        lora_a: float32 [experts, r, K]. lora_b: float32 [experts, N, r].
    """

    def __init__(self, base: ExpertBase, rank: int, scale: float) -> None:
        super().__init__()
        self.base = frozen(base)
        self.shape, self.dtype, self.scale = base.shape, base.dtype, scale
        count, rows, columns = self.shape
        device = base.device if isinstance(base, Tensor) else base[0].device
        self.lora_a = nn.Parameter(torch.zeros(count, rank, columns, device=device))
        self.lora_b = nn.Parameter(torch.zeros(count, rows, rank, device=device))

    def reset(self, generator: torch.Generator) -> None:
        """Draw each A as `LoraWeight.reset` does; B is zero."""
        _draw(self.lora_a, self.lora_b, generator)

    def packed_layout(self) -> PackedLayout | None:
        """Return None: no kernel reads an update."""
        return None

    def merged(self) -> Tensor:
        """Return all matrices with their updates, float32 [experts, N, K]."""
        base = self.base if isinstance(self.base, Tensor) else self.base.dequantize()
        return base.float() + self.scale * (self.lora_b @ self.lora_a)

    def __getitem__(self, number: int) -> _Expert:
        return _Expert(self.base[number], self.lora_a[number], self.lora_b[number], self.scale)


class _Expert:
    """The weight of one expert, for the length of a product."""

    def __init__(self, base: Base, lora_a: Tensor, lora_b: Tensor, scale: float) -> None:
        self.base, self.lora_a, self.lora_b, self.scale = base, lora_a, lora_b, scale

    def product(self, x: Tensor) -> Tensor:
        return linear(x, self.base) + _update(x, self.lora_a, self.lora_b, self.scale)

    def products(self, x: Tensor, others: Sequence[WeightLike]) -> list[Tensor]:
        return [self.product(x), *(other.product(x) for other in others)]

    def packed_layout(self) -> PackedLayout | None:
        return None

    def __getitem__(self, index: Any) -> Tensor:
        raise TypeError("an embedding has no adapter here")


def frozen(base: Any) -> Any:
    """Return a weight that gets no gradient."""
    return base.requires_grad_(False)


def _update(x: Tensor, lora_a: Tensor, lora_b: Tensor, scale: float) -> Tensor:
    return F.linear(F.linear(x, lora_a.to(x.dtype)), lora_b.to(x.dtype)) * scale


def _draw(lora_a: Tensor, lora_b: Tensor, generator: torch.Generator) -> None:
    drawn = torch.rand(lora_a.shape, generator=generator)
    with torch.no_grad():
        lora_a.copy_((2 * drawn - 1) * lora_a.shape[-1] ** -0.5)
        lora_b.zero_()
