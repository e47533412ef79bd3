"""Quantized experts: one matrix for each expert, in place of a tensor with one more dimension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from redraft.ops.packed_layout import PackedLayout, table_of
from redraft.quant.weight import PackedWeight


class StackedWeight(PackedWeight):
    """Matrices on top of one another, such as an expert's gate above its up."""

    def __init__(self, parts: Sequence[PackedWeight]) -> None:
        super().__init__((sum(part.shape[0] for part in parts), parts[0].shape[1]), parts[0].dtype)
        self.parts = nn.ModuleList(parts)

    def rows(self, first: int, last: int) -> Tensor:
        return self.dequantize()[first:last]

    def dequantize(self) -> Tensor:
        parts = [part.dequantize() for part in self.matrices()]
        if all(part.T.is_contiguous() for part in parts):
            # Formats that are decoded transposed stay so: turning costs more than decoding.
            return torch.cat([part.T for part in parts], dim=1).T
        return torch.cat(parts)

    def _product(self, x: Tensor) -> Tensor:
        return torch.cat([part.product(x) for part in self.matrices()], dim=-1)

    def packed_layout(self) -> PackedLayout | None:
        """Return None: an `ExpertList` takes the layouts of the parts."""
        return None

    def matrices(self) -> list[PackedWeight]:
        """Return the parts, from the top."""
        return [part for part in self.parts if isinstance(part, PackedWeight)]


class ExpertList(nn.Module):
    """One quantized matrix for each expert. It stands in place of a tensor [experts, N, K]."""

    def __init__(self, experts: Sequence[PackedWeight]) -> None:
        super().__init__()
        self.each = nn.ModuleList(experts)
        self.shape = torch.Size((len(experts), *experts[0].shape))
        self.dtype = experts[0].dtype
        self._cached_table: tuple[tuple[object, ...], PackedLayout | None] | None = None

    @classmethod
    def of_parts(cls, experts: Sequence[Sequence[PackedWeight]]) -> ExpertList:
        """Build the list from the matrices of each expert; several are stacked."""
        return cls([parts[0] if len(parts) == 1 else StackedWeight(parts) for parts in experts])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._cached_table = None
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call, no-any-return]

    def packed_layout(self) -> PackedLayout | None:
        """Return the layout of all matrices for a kernel; None where no kernel reads them."""
        # The addresses of the first and the last expert change where the list was copied.
        ends = [*self._layouts_of(0), *self._layouts_of(-1)]
        identity = tuple(layout and layout.identity for layout in ends)
        if self._cached_table is None or self._cached_table[0] != identity:
            self._cached_table = identity, self._table(len(ends) // 2)
        return self._cached_table[1]

    def _table(self, parts: int) -> PackedLayout | None:
        layouts = []
        for number in range(self.shape[0]):
            layouts += self._layouts_of(number)
        known = [layout for layout in layouts if layout is not None]
        return table_of(known, parts) if len(known) == len(layouts) else None

    def _layouts_of(self, number: int) -> list[PackedLayout | None]:
        """Return the layouts of one expert's matrices."""
        expert = self[number]
        matrices = expert.matrices() if isinstance(expert, StackedWeight) else [expert]
        return [matrix.packed_layout() for matrix in matrices]

    def __getitem__(self, number: int) -> PackedWeight:
        expert = self.each[number]
        assert isinstance(expert, PackedWeight)
        return expert

    @property
    def nbytes(self) -> int:
        return sum(buffer.nbytes for buffer in self.buffers())

    def dequantize(self) -> Tensor:
        """Return all matrices, decoded: [experts, N, K]."""
        return torch.stack([self[number].dequantize() for number in range(self.shape[0])])
