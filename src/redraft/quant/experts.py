"""Experts in few bits: each a matrix of its own, where a tensor would have one more dimension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from redraft.ops.packed_layout import PackedLayout, table_of
from redraft.quant.weight import PackedWeight


class Joined(PackedWeight):
    """Matrices on top of one another, such as an expert's gate above its up."""

    def __init__(self, parts: Sequence[PackedWeight]) -> None:
        super().__init__((sum(part.shape[0] for part in parts), parts[0].shape[1]), parts[0].dtype)
        self.parts = nn.ModuleList(parts)

    def rows(self, first: int, last: int) -> Tensor:
        return self.whole()[first:last]

    def whole(self) -> Tensor:
        return torch.cat([part.whole() for part in self.matrices()])

    def product(self, x: Tensor) -> Tensor:
        return torch.cat([part.product(x) for part in self.matrices()], dim=-1)

    def packed_layout(self) -> PackedLayout | None:
        """Its parts are read as parts of a list of experts."""
        return None

    def matrices(self) -> list[PackedWeight]:
        """Its parts, from the top."""
        return [part for part in self.parts if isinstance(part, PackedWeight)]


class ExpertList(nn.Module):
    """One matrix an expert: stands where a tensor [experts, N, K] would."""

    def __init__(self, experts: Sequence[PackedWeight]) -> None:
        super().__init__()
        self.each = nn.ModuleList(experts)
        self.shape = torch.Size((len(experts), *experts[0].shape))
        self.dtype = experts[0].dtype
        self._table: tuple[tuple[object, ...], PackedLayout | None] | None = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._table = None
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call, no-any-return]

    def packed_layout(self) -> PackedLayout | None:
        """Where all of them lie, for a kernel; None where there is none for them."""
        ends = [part.packed_layout() for number in (0, -1) for part in self._parts_of(number)]
        places = tuple(one and one.identity for one in ends)
        if self._table is None or self._table[0] != places:  # a copy of the list lies elsewhere
            lying = [
                part.packed_layout()
                for number in range(self.shape[0])
                for part in self._parts_of(number)
            ]
            known = [one for one in lying if one is not None]
            self._table = (
                places,
                table_of(known, len(ends) // 2) if len(known) == len(lying) else None,
            )
        return self._table[1]

    def _parts_of(self, number: int) -> list[PackedWeight]:
        found = self[number]
        return found.matrices() if isinstance(found, Joined) else [found]

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
