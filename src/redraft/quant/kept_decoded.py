"""Where a device has room to spare, dense matrices are kept decoded beside their packed form."""

from __future__ import annotations

import torch
from torch import nn

from redraft.ops.linear import Linear
from redraft.ops.triton import KERNEL_DEVICES
from redraft.quant.weight import PackedWeight

# Bytes that must stay free: caches of long texts, logits, and CUDA graphs.
SPARE_MEMORY = 12 << 30


def keep_decoded_matrices(network: nn.Module) -> int:
    """Keep the quantized matrices of linear layers decoded too, if the device has room for them.

    A canvas has more rows than a kernel multiplies with packed numbers, so that each step would
    decode them again. Experts, which have few rows each, stay packed.

    Returns:
        The bytes that they will take; 0 if they are not kept.
    """
    found: list[object] = [one.weight for one in network.modules() if isinstance(one, Linear)]
    weights = [weight for weight in found if isinstance(weight, PackedWeight)]
    if not weights or weights[0].device.type not in KERNEL_DEVICES:
        return 0
    needed = sum(weight.shape.numel() * weight.dtype.itemsize for weight in weights)
    if _free_memory(weights[0].device) < needed + SPARE_MEMORY:
        return 0
    for weight in weights:
        weight.keep_decoded()
    return needed


def _free_memory(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
