"""Attach an adapter to a network: its weights are replaced, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from redraft.adapters.config import LoraConfig
from redraft.adapters.weights import Adapted, LoraExperts, LoraWeight
from redraft.errors import ConfigError
from redraft.network import DiffusionGemma, place_weight
from redraft.quant import ExpertList, PackedWeight

# What stands behind the name of a weight that an update stands in the place of.
BASE = ".base"


def attach(network: DiffusionGemma, config: LoraConfig, seed: int = 0) -> dict[str, Adapted]:
    """Give a network the updates that a config asks for, in place, and freeze all else.

    Args:
        seed: of the random start of each A; the adapted network computes what it did before.

    Returns:
        The weights with an update, by the network's name of each.

    Raises:
        ConfigError: a target matches nothing, or the network has an adapter.
    """
    if adapters_of(network) or network.adapters:
        raise ConfigError("the network has an adapter: merge it, or begin with the base again")
    network.requires_grad_(False)
    weights = dict(weights_of(network))
    generator = torch.Generator().manual_seed(seed)
    adapted: dict[str, Adapted] = {}
    for name in config.matches(weights):
        weight = weights[name]
        made: Adapted
        if isinstance(weight, ExpertList) or weight.ndim == 3:
            made = LoraExperts(weight, config.rank, config.scale)
        else:
            made = LoraWeight(weight, config.rank, config.scale, config.dropout)
        made.reset(generator)
        place_weight(network, name, made)
        adapted[name] = made
    network.cuda_graphs.clear()
    return adapted


def adapters_of(network: DiffusionGemma) -> dict[str, Adapted]:
    """Return the weights of a network that have an update, by name."""
    return {name: module for name, module in network.named_modules() if isinstance(module, Adapted)}


def detach(network: DiffusionGemma) -> None:
    """Put the frozen weights back, in place."""
    for name, adapted in adapters_of(network).items():
        place_weight(network, name, adapted.base)
    network.cuda_graphs.clear()


def weights_of(network: DiffusionGemma) -> Iterator[tuple[str, Tensor | PackedWeight | ExpertList]]:
    """Yield all weights without updates, tensors and quantized ones, by the network's names."""
    packed = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, PackedWeight | ExpertList)
    }
    inside = tuple(f"{name}." for name in packed)
    for name, parameter in network.named_parameters():
        yield name.removesuffix(BASE), parameter
    for name, module in packed.items():
        if not name.startswith(inside):
            yield name.removesuffix(BASE), module


def shared_copy(network: DiffusionGemma) -> DiffusionGemma:
    """Return another network over the same weights, which takes no memory for them.

    An adapter that is attached to it leaves the first one as it is.

    Raises:
        ConfigError: the network has an adapter.
    """
    if adapters_of(network):
        raise ConfigError("the network has an adapter: copy its base")
    with torch.device("meta"):
        copy = DiffusionGemma(network.config)
    for name, weight in weights_of(network):
        place_weight(copy, name, weight)
    # Those of quantized weights came with them.
    own = dict(network.named_buffers())
    for name, _ in list(copy.named_buffers()):
        place_weight(copy, name, own[name])
    return copy.train(network.training)
