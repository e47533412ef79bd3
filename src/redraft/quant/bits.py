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


def unpack_stream(packed: Tensor, bits: int) -> Tensor:
    """Return numbers of 2 to 8 bits that follow one another without a gap, the lowest bits first.

    Args:
        packed: uint8 [..., n], n a multiple of `bits`, or any n for 2, 4 and 8 bits.

    Returns:
        uint8 [..., 8 n / bits].
    """
    if bits == 8:
        return packed
    if 8 % bits == 0:
        parts = [packed >> shift for shift in range(0, 8, bits)]
        return torch.stack(parts, dim=-1).flatten(-2) & ((1 << bits) - 1)
    runs = packed.unflatten(-1, (-1, bits))  # eight numbers each
    numbers = torch.empty(*runs.shape[:-1], 8, dtype=torch.uint8, device=packed.device)
    for place in range(8):
        byte, shift = divmod(bits * place, 8)
        number = runs[..., byte] >> shift
        if shift + bits > 8:
            number = number | (runs[..., byte + 1] << (8 - shift))
        numbers[..., place] = number & ((1 << bits) - 1)
    return numbers.flatten(-2)


def unpack_rows(words: Tensor, bits: int, rows: int) -> Tensor:
    """Return numbers [rows, n] from int32 words [rows * bits / 32, n].

    A word holds several rows of one column, the first in the lowest bits.
    """
    shifts = torch.arange(0, 32, bits, dtype=torch.int32, device=words.device)
    numbers = (words.unsqueeze(1) >> shifts[None, :, None]) & ((1 << bits) - 1)
    return numbers.flatten(0, 1)[:rows]
