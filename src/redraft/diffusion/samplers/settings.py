"""Settings of samplers and stopping criteria: numbers, or tensors with one number a row."""

from __future__ import annotations

import torch
from torch import Tensor


def column(setting: float | Tensor, like: Tensor) -> Tensor:
    """Return a setting as a tensor [1, 1] or [B, 1] that broadcasts over `like` [B, L]."""
    return torch.as_tensor(setting, dtype=like.dtype, device=like.device).reshape(-1, 1)
