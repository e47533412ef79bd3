"""Initial weights that train well at small size; the attention scale of 1 makes unit q and k norms
start too sharp."""

from __future__ import annotations

import torch

from redraft.network import DiffusionGemma

POST_NORM = 0.3
LINEAR = 0.5
QUERY_KEY = 1.3


@torch.no_grad()
def initialise(model: DiffusionGemma, generator: torch.Generator) -> DiffusionGemma:
    """Fill a model's weights in place and return it.

    Embeddings have deviation H^-1/2, linear maps half of fan_in^-1/2, norms behind a block start at
    0.3, q and k norms at 1.3 head_dim^-1/4, and the last matrix of self-conditioning at zero, so
    that a first pass hears nothing.
    """
    for name, tensor in model.state_dict().items():
        if name.startswith("self_conditioning.down_proj"):
            tensor.zero_()
        elif name.endswith(("q_norm.weight", "k_norm.weight")):
            tensor.fill_(QUERY_KEY * tensor.numel() ** -0.25)
        elif "layernorm" in name and ".post_" in name:
            tensor.fill_(POST_NORM)
        elif tensor.ndim == 1:
            tensor.fill_(1.0)
        elif name.startswith("embed_tokens"):
            tensor.normal_(0.0, tensor.shape[-1] ** -0.5, generator=generator)
        else:
            tensor.normal_(0.0, LINEAR * tensor.shape[-1] ** -0.5, generator=generator)
    return model
