"""Bytes of blocks: the floats and the small numbers that a block of ggml has at given places."""

from __future__ import annotations

import torch
from torch import Tensor

# Integers [n, columns], scales [n, groups] and offsets [n, groups] (or None) of n blocks: number =
# integer * scale + offset.
Blocks = tuple[Tensor, Tensor, Tensor | None]


def half(blocks: Tensor, at: int) -> Tensor:
    """Return the float16 at a byte of each block, as float32 [n, 1]."""
    return blocks[:, at : at + 2].contiguous().view(torch.float16).float()


def spread(part: Tensor, width: int, shifts: tuple[int, ...], mask: int) -> Tensor:
    """Return the numbers that each run of `width` bytes holds, [n, bytes * shifts].

    A run gives `width` numbers of its lowest bits, then as many of the next, and so on.
    """
    by = torch.tensor(shifts, dtype=torch.uint8, device=part.device)
    groups: Tensor = part.unflatten(-1, (-1, 1, width))
    return ((groups >> by[:, None]) & mask).flatten(1)
