"""Uniform corruption: the forward process that denoising undoes."""

from __future__ import annotations

import torch
from torch import Tensor


def corrupt(tokens: Tensor, level: Tensor, vocab_size: int, generator: torch.Generator) -> Tensor:
    """Replace each token, with its row's probability, by a uniform random token of the vocabulary
    (perhaps itself).

    Args:
        tokens: int64 [B, L]. level: float32 [B], t in (0, 1).
        generator: on the tokens' device.
    """
    noise = torch.randint(0, vocab_size, tokens.shape, generator=generator, device=tokens.device)
    hit = torch.rand(tokens.shape, generator=generator, device=tokens.device) < level[:, None]
    return torch.where(hit, noise, tokens)
