"""RMSNorm as in Gemma 4: x / rms(x) * weight, in float32. Gemma 2 has (1 + weight) instead."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from redraft.ops.triton import uses_kernels


def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """Return `x` [..., D], in its dtype, divided by the root mean square of its last dimension.

    Args:
        weight: [D], or None for a norm without a weight.
    """
    if uses_kernels(x) and (weight is None or weight.dtype == x.dtype):
        # On CUDA this is one kernel; it computes in float32 too.
        return F.rms_norm(x, x.shape[-1:], weight, eps)
    if x.dtype == torch.float32 and not torch.is_grad_enabled():
        # The same numbers as below in fewer operations.
        scale = x.square().mean(-1, keepdim=True).add_(eps).pow_(-0.5)
        return x * scale if weight is None else (x * scale).mul_(weight)
    wide = x.float()
    normed = wide * torch.pow(wide.pow(2).mean(-1, keepdim=True) + eps, -0.5)
    if weight is not None:
        normed = normed * weight.float()
    return normed.to(x.dtype)
