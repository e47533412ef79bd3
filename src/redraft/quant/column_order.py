"""Column order: a matrix whose columns lie in another order than its input's.

Act-order packings (GPTQ) sort columns by their importance before groups of them share a scale. Here
the columns of a group lie side by side, and a product permutes its input.
"""

from __future__ import annotations

import torch
from torch import Tensor

from redraft.ops.packed_layout import PackedLayout
from redraft.quant.weight import PackedWeight


class ReorderedWeight(PackedWeight):
    """A matrix [N, K] whose columns were sorted.

    Args:
        weight: the matrix with sorted columns.
        order: int64 [K], the input's column that each of its columns belongs to.

    Attributes:
        order, places: the order and its inverse, int32: columns are few.
    """

    order: Tensor
    places: Tensor

    def __init__(self, weight: PackedWeight, order: Tensor) -> None:
        super().__init__((weight.shape[0], weight.shape[1]), weight.dtype)
        self.weight = weight
        self.register_buffer("order", order.to(torch.int32))
        self.register_buffer("places", order.argsort().to(torch.int32))

    def rows(self, first: int, last: int) -> Tensor:
        return self.weight.rows(first, last)[:, self.places]

    def gather(self, index: Tensor) -> Tensor:
        return self.weight.gather(index)[..., self.places]

    def as_table(self) -> PackedWeight:
        return ReorderedWeight(self.weight.as_table(), self.order.long())

    def _product(self, x: Tensor) -> Tensor:
        return self.weight.product(x[..., self.order])

    def packed_layout(self) -> PackedLayout | None:
        """Return None: a kernel would not permute the input."""
        return None
