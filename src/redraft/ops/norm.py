"""RMSNorm as Gemma computes it: in float32, x / rms(x) * weight, without Gemma 2's (1 + weight)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from redraft.ops.triton import uses_kernels


def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """Normalise the last dimension of `x` [..., D] by its root mean square; `weight` [D], or None
    for a weightless norm."""
    if uses_kernels(x) and (weight is None or weight.dtype == x.dtype):
        return F.rms_norm(x, x.shape[-1:], weight, eps)  # on CUDA one kernel, in float32 too
    wide = x.float()
    normed = wide * torch.pow(wide.pow(2).mean(-1, keepdim=True) + eps, -0.5)
    if weight is not None:
        normed = normed * weight.float()
    return normed.to(x.dtype)
