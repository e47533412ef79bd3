"""Place a weight of whatever kind in a network: a tensor, or a module that stands in its place."""

from __future__ import annotations

from torch import Tensor, nn


def place_weight(network: nn.Module, name: str, weight: Tensor | nn.Module) -> None:
    """Put a weight in the place of the one with this name. It gets no gradient."""
    path, _, leaf = name.rpartition(".")
    module = network.get_submodule(path)
    if isinstance(weight, nn.Module):
        module._parameters.pop(leaf, None)
        setattr(module, leaf, weight)
    elif leaf in module._buffers:
        module._buffers[leaf] = weight
    else:
        module._modules.pop(leaf, None)
        module._parameters[leaf] = nn.Parameter(weight.detach(), requires_grad=False)
