"""Experts in few bits: each a matrix of its own, where a tensor would have one more dimension."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from redraft.quant.weight import PackedWeight


class Joined(PackedWeight):
    """Matrices on top of one another, such as an expert's gate above its up."""

    def __init__(self, parts: Sequence[PackedWeight]) -> None:
        super().__init__((sum(part.shape[0] for part in parts), parts[0].shape[1]), parts[0].dtype)
        self.parts = nn.ModuleList(parts)

    def rows(self, first: int, last: int) -> Tensor:
        return self.whole()[first:last]

    def whole(self) -> Tensor:
        return torch.cat([part.whole() for part in self._parts()])

    def product(self, x: Tensor) -> Tensor:
        return torch.cat([part.product(x) for part in self._parts()], dim=-1)

    def _parts(self) -> list[PackedWeight]:
        return [part for part in self.parts if isinstance(part, PackedWeight)]


class ExpertList(nn.Module):
    """One matrix an expert: stands where a tensor [experts, N, K] would."""

    def __init__(self, experts: Sequence[PackedWeight]) -> None:
        super().__init__()
        self.each = nn.ModuleList(experts)
        self.shape = torch.Size((len(experts), *experts[0].shape))
        self.dtype = experts[0].dtype

    def __getitem__(self, number: int) -> PackedWeight:
        found = self.each[number]
        assert isinstance(found, PackedWeight)
        return found

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.buffers())

    def whole(self) -> Tensor:
        """All of it as numbers [experts, N, K]."""
        return torch.stack([self[number].whole() for number in range(self.shape[0])])
