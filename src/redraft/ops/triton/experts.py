"""Mixture of experts in a handful of launches, however many experts there are."""

from __future__ import annotations

from torch import Tensor

from redraft.ops.activation import IN_KERNEL, Activation
from redraft.ops.packed_layout import PackedLayout
from redraft.ops.triton.combine import combine
from redraft.ops.triton.grouping import group_by_expert
from redraft.ops.triton.product import product
from redraft.ops.triton.tiles import card_of, expert_tokens


def experts_grouped(
    x: Tensor,
    gate_up: PackedLayout,
    down: PackedLayout,
    weights: Tensor,
    index: Tensor,
    activation: Activation,
) -> Tensor:
    """Compute `ops.experts.experts` of matrices in these layouts."""
    return combine(expert_outputs(x, gate_up, down, index, activation), weights)


def expert_outputs(
    x: Tensor, gate_up: PackedLayout, down: PackedLayout, index: Tensor, activation: Activation
) -> Tensor:
    """Return the output of each of a token's experts, [tokens * top_k, H] of x [tokens, H]."""
    experts = gate_up.values.shape[0] // gate_up.parts
    tokens = expert_tokens(index.numel(), experts, card_of(x.device))
    groups = group_by_expert(index, experts, tokens)
    if activation in IN_KERNEL:
        inner = product(x, gate_up, groups, gather=True, gate=IN_KERNEL[activation])
    else:
        gate, up = product(x, gate_up, groups, gather=True).chunk(2, dim=-1)
        inner = activation(gate) * up
    return product(inner, down, groups, scatter=True)
