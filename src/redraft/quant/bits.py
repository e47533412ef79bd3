"""Packs small integers into bytes and words, and unpacks them."""

from __future__ import annotations

import torch
from torch import Tensor


def pack_nibbles(values: Tensor) -> Tensor:
    """Pack numbers 0 to 15 two to a byte, the first in the lower half: [..., K] to [..., K / 2]."""
    pairs: Tensor = values.to(torch.uint8).unflatten(-1, (-1, 2))
    return pairs[..., 0] | (pairs[..., 1] << 4)


def unpack_nibbles(packed: Tensor) -> Tensor:
    """Return the numbers of `pack_nibbles`: uint8 [..., n] to [..., 2 n]."""
    return torch.stack((packed & 15, packed >> 4), dim=-1).flatten(-2)


def unpack_rows(words: Tensor, bits: int, rows: int) -> Tensor:
    """Return numbers [rows, n] from int32 words [rows * bits / 32, n].

    A word holds several rows of one column, the first in the lowest bits.
    """
    shifts = torch.arange(0, 32, bits, dtype=torch.int32, device=words.device)
    numbers = (words.unsqueeze(1) >> shifts[None, :, None]) & ((1 << bits) - 1)
    return numbers.flatten(0, 1)[:rows]
