"""Mixture of experts in a handful of launches, whatever their number."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from redraft.ops.packed_layout import Packing
from redraft.ops.triton.combine import combine
from redraft.ops.triton.grouping import grouped
from redraft.ops.triton.product import product, tokens_at_a_time


def experts_grouped(
    x: Tensor,
    gate_up: Packing,
    down: Packing,
    weights: Tensor,
    index: Tensor,
    activation: Callable[[Tensor], Tensor],
) -> Tensor:
    """`ops.experts.experts`, of matrices that lie as their packings say."""
    experts = gate_up.values.shape[0] // gate_up.parts
    groups = grouped(index, experts, tokens_at_a_time(index.numel(), experts))
    gate, up = product(x, gate_up, groups, gather=True).chunk(2, dim=-1)
    return combine(product(activation(gate) * up, down, groups, scatter=True), weights)
