"""Initial weights with which small networks train well.

Attention has a scale of 1: q and k norms of 1 would make it too sharp at the start.
"""

from __future__ import annotations

import torch

from redraft.network import EMBEDDING, DiffusionGemma

POST_NORM_GAIN = 0.3
LINEAR_GAIN = 0.5
QUERY_KEY_GAIN = 1.3


@torch.no_grad()
def initialise(network: DiffusionGemma, generator: torch.Generator) -> DiffusionGemma:
    """Fill a network's weights in place and return it.

    Embeddings have a standard deviation of H^-1/2, linear maps half of fan_in^-1/2. Norms behind a
    block start at 0.3, q and k norms at 1.3 head_dim^-1/4. The last matrix of self-conditioning is
    zero, so that the signal has no effect at first.
    """
    for name, tensor in network.state_dict().items():
        if name.startswith("self_conditioning.down_proj"):
            tensor.zero_()
        elif name.endswith(("q_norm.weight", "k_norm.weight")):
            tensor.fill_(QUERY_KEY_GAIN * tensor.numel() ** -0.25)
        elif "layernorm" in name and ".post_" in name:
            tensor.fill_(POST_NORM_GAIN)
        elif tensor.ndim == 1:
            tensor.fill_(1.0)
        elif name == EMBEDDING:
            tensor.normal_(0.0, tensor.shape[-1] ** -0.5, generator=generator)
        else:
            tensor.normal_(0.0, LINEAR_GAIN * tensor.shape[-1] ** -0.5, generator=generator)
    return network
