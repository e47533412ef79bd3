"""Rotary position embedding (arXiv 2104.09864): dimension i is rotated with dimension i + D/2."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from redraft.config import RopeConfig
from redraft.ops.triton import uses_kernels


def inverse_frequencies(rope: RopeConfig, head_dim: int, device: torch.device) -> Tensor:
    """Return the angle by which each pair turns from one position to the next.

    Returns:
        float32 [head_dim / 2]. With `proportional` rotary embedding all but the first part are 0.
    """
    if device.type == "cpu":
        return _inverse_frequencies(rope, head_dim)
    return _cached_on_device(rope, head_dim, device)


@cache
def _cached_on_device(rope: RopeConfig, head_dim: int, device: torch.device) -> Tensor:
    return _inverse_frequencies(rope, head_dim).to(device)


def _inverse_frequencies(rope: RopeConfig, head_dim: int) -> Tensor:
    turning = int(rope.partial_rotary_factor * head_dim // 2)
    exponent = torch.arange(0, 2 * turning, 2, dtype=torch.int64).float() / head_dim
    frequencies = torch.zeros(head_dim // 2)
    frequencies[:turning] = 1.0 / rope.rope_theta**exponent / rope.factor
    return frequencies


def rotary_table(
    positions: Tensor, frequencies: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return cosines and sines [..., D] of integer `positions` [...].

    They are computed in float32 and returned in `dtype`.

    Args:
        frequencies: float32 [D / 2], from `inverse_frequencies`.
    """
    angles = positions[..., None].float() * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def apply_rotary(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Return `x` [..., heads, D], rotated by the table's cosines and sines [..., D]."""
    if uses_kernels(x):
        from redraft.ops.triton.rotary import apply_rotary as in_kernel

        return in_kernel(x, *table)
    cos, sin = (part.unsqueeze(-2) for part in table)
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
