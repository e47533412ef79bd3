"""Matrices with a common input side by side in memory, so that their products are one.

A device takes one product of 8,192 rows sooner than three of a third each. The weights stay what
they are, with their names and shapes: only their memory is shared out of one piece.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from redraft.network.layers import Attention, GatedMLP
from redraft.ops.linear import Linear, joined_weights
from redraft.ops.triton import KERNEL_DEVICES


def join_weights(network: nn.Module) -> None:
    """Move weights with a common input next to each other: queries, keys and values; gate and up.

    Weights that are quantized, trained, or on a device without kernels stay where they are. While
    it runs, the matrices of one layer are in memory twice.
    """
    for group in _with_one_input(network):
        layers = [layer for layer in group if type(layer) is Linear and _can_move(layer.weight)]
        if len(layers) == len(group):
            _join(layers)


def _with_one_input(network: nn.Module) -> Iterator[list[nn.Module]]:
    for module in network.modules():
        if isinstance(module, Attention):
            values = [] if module.v_proj is None else [module.v_proj]
            yield [module.q_proj, module.k_proj, *values]
        elif isinstance(module, GatedMLP):
            yield [module.gate_proj, module.up_proj]


def _can_move(weight: object) -> bool:
    return (
        isinstance(weight, Tensor)
        and not weight.requires_grad
        and weight.device.type in KERNEL_DEVICES
    )


def _join(layers: list[Linear]) -> None:
    weights = [layer.weight for layer in layers]
    if len({(one.dtype, one.device) for one in weights}) > 1 or joined_weights(weights) is not None:
        return
    with torch.no_grad():
        parts = torch.cat(weights).split([len(one) for one in weights])
    for layer, part in zip(layers, parts, strict=True):
        layer.weight = nn.Parameter(part, requires_grad=False)
