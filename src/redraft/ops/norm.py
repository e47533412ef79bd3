"""RMSNorm as Gemma computes it: in float32, x / rms(x) * weight, without Gemma 2's (1 + weight)."""

from __future__ import annotations

import torch
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """Normalise the last dimension of `x` [..., D] by its root mean square; `weight` [D], or None for a weightless norm."""
    wide = x.float()
    normed = wide * torch.pow(wide.pow(2).mean(-1, keepdim=True) + eps, -0.5)
    if weight is not None:
        normed = normed * weight.float()
    return normed.to(x.dtype)
