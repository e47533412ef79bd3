"""Block types of ggml below four bits, and those whose numbers come from a table.

Integers stay as they are. Those of Q2_K, Q3_K and TQ fit in four bits, and so do the numbers that
IQ1 and IQ3_S have in their tables: they are odd and at most 15. Those of the other IQ types lie
unevenly and take eight. The tables of IQ1 to IQ3 are in the package `gguf`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from redraft.checkpoint.gguf.block_bytes import Blocks, half, spread
from redraft.errors import CheckpointError
from redraft.quant.int4 import MIDDLE

# The sixteen numbers of IQ4.
IQ4 = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


def _q2_k(blocks: Tensor) -> Blocks:
    packed = blocks[:, :16]
    scale = half(blocks, 80) * (packed & 15)
    minimum = half(blocks, 82) * (packed >> 4)
    # The middle of 0 to 3 becomes that of four bits, so that the offset is small.
    shift = MIDDLE - 2
    return spread(blocks[:, 16:80], 32, (0, 2, 4, 6), 3) + shift, scale, -minimum - shift * scale


def _q3_k(blocks: Tensor) -> Blocks:
    low = spread(blocks[:, 32:96], 32, (0, 2, 4, 6), 3)
    high = spread(blocks[:, :32], 32, tuple(range(8)), 1)
    packed = blocks[:, 96:108]
    # Four bits of 16 scales, and two more of each.
    part = spread(packed[:, :8], 8, (0, 4), 15) | (spread(packed[:, 8:], 4, (0, 2, 4, 6), 3) << 4)
    scale = half(blocks, 108) * (part.to(torch.int16) - 32)
    # From -4 to 3: a high bit that is not set is -4.
    return low + (high << 2) + (MIDDLE - 4), scale, -MIDDLE * scale


def _tq1_0(blocks: Tensor) -> Blocks:
    def digits(part: Tensor, width: int, count: int) -> Tensor:
        by = torch.tensor([3**power for power in range(count)], device=part.device)
        # The product keeps its low eight bits; its digit is what stands above them.
        numbers: Tensor = (part.unflatten(-1, (-1, 1, width)).int() * by[:, None]) & 255
        return ((numbers * 3) >> 8).flatten(1).to(torch.uint8)

    runs = (digits(blocks[:, :32], 32, 5), digits(blocks[:, 32:48], 16, 5))
    values = torch.cat((*runs, digits(blocks[:, 48:52], 4, 4)), dim=-1)
    scale = half(blocks, 52)
    return values + (MIDDLE - 1), scale, -MIDDLE * scale


def _tq2_0(blocks: Tensor) -> Blocks:
    scale = half(blocks, 64)
    return spread(blocks[:, :64], 32, (0, 2, 4, 6), 3) + (MIDDLE - 1), scale, -MIDDLE * scale


def _iq4_nl(blocks: Tensor) -> Blocks:
    return _iq4(spread(blocks[:, 2:18], 16, (0, 4), 15)), half(blocks, 0), None


def _iq4_xs(blocks: Tensor) -> Blocks:
    low = blocks[:, 4:8]
    lower = torch.stack((low & 15, low >> 4), dim=-1).flatten(1)
    shifts = torch.arange(0, 8, 2, dtype=torch.uint8, device=blocks.device)
    upper = ((blocks[:, 2:4, None] >> shifts) & 3).flatten(1)
    scale = half(blocks, 0) * ((lower | (upper << 4)).to(torch.int16) - 32)
    return _iq4(spread(blocks[:, 8:], 16, (0, 4), 15)), scale, None


def _iq4(index: Tensor) -> Tensor:
    return torch.tensor(IQ4, dtype=torch.int8, device=index.device)[index.long()]


def _iq2_xxs(blocks: Tensor) -> Blocks:
    words = blocks[:, 2:66].unflatten(1, (8, 8))
    signs, scale = _seven_bits(words[..., 4:])
    numbers = _table("IQ2_XXS", words[..., :4].flatten(1)) * signs
    return numbers.flatten(1), half(blocks, 0) * (0.5 + scale) * 0.25, None


def _iq2_xs(blocks: Tensor) -> Blocks:
    words = _two_bytes(blocks[:, 2:66])
    numbers = _table("IQ2_XS", words & 511) * _signs(_with_parity(words >> 9))
    return numbers.flatten(1), half(blocks, 0) * (0.5 + _pairs(blocks[:, 66:74])) * 0.25, None


def _iq2_s(blocks: Tensor) -> Blocks:
    high = _runs(blocks[:, 66:74], (0, 2, 4, 6), 3)
    index = blocks[:, 2:34].int() | (high.int() << 8)
    numbers = _table("IQ2_S", index) * _signs(blocks[:, 34:66])
    return numbers.flatten(1), half(blocks, 0) * (0.5 + _pairs(blocks[:, 74:82])) * 0.25, None


def _iq3_xxs(blocks: Tensor) -> Blocks:
    signs, scale = _seven_bits(blocks[:, 66:98].unflatten(1, (8, 4)))
    numbers = _table("IQ3_XXS", blocks[:, 2:66]).flatten(1) * signs.flatten(1)
    return numbers, half(blocks, 0) * (0.5 + scale) * 0.5, None


def _iq3_s(blocks: Tensor) -> Blocks:
    high = _runs(blocks[:, 66:74], tuple(range(8)), 1)
    index = blocks[:, 2:66].int() | (high.int() << 8)
    numbers = _table("IQ3_S", index).flatten(1) * _signs(blocks[:, 74:106]).flatten(1)
    return _halved(numbers, half(blocks, 0) * (1 + 2 * _pairs(blocks[:, 106:110]).int()))


def _iq1_s(blocks: Tensor) -> Blocks:
    words = _two_bytes(blocks[:, 34:50])  # [n, 8]
    scale = half(blocks, 0) * (2 * ((words >> 12) & 7) + 1)
    high = (words.unsqueeze(-1) >> torch.arange(0, 12, 3, device=words.device)) & 7
    index = blocks[:, 2:34].int() | (high.flatten(1) << 8)
    down = (words >> 15).repeat_interleave(4, dim=1)
    return _halved(_ternary(index, down), scale / 8)


def _iq1_m(blocks: Tensor) -> Blocks:
    words = _two_bytes(blocks[:, 48:56])  # [n, 4]
    parts = [(words[:, at] >> 12) << (4 * at) for at in range(4)]
    bits = parts[0] | parts[1] | parts[2] | parts[3]
    whole = torch.stack((bits & 255, bits >> 8), dim=-1).to(torch.uint8)
    each = (words.unsqueeze(-1) >> torch.arange(0, 12, 3, device=words.device)) & 7
    scale = half(whole, 0) * (2 * each.flatten(1) + 1)
    high = _runs(blocks[:, 32:48], (0, 4), 15).int()
    index = blocks[:, :32].int() | ((high & 7) << 8)
    return _halved(_ternary(index, high >> 3), scale / 8)


def _halved(numbers: Tensor, scale: Tensor) -> Blocks:
    """Return odd numbers from -15 to 15 as 0 to 15: four bits hold them without loss."""
    return ((numbers + 15) >> 1).to(torch.uint8), 2 * scale, -15 * scale


def _ternary(index: Tensor, down: Tensor) -> Tensor:
    """Return eight times the numbers -1, 0 and 1 of a table, plus one, or less one where `down`."""
    numbers: Tensor = 8 * _table("IQ1_S", index) + (1 - 2 * down.to(torch.int8)).unsqueeze(-1)
    return numbers.flatten(1)


def _table(name: str, index: Tensor) -> Tensor:
    """Return the rows of a type's table, int8 [n, rows, 4 or 8]."""
    return _grid(name).to(index.device)[index.long()]


@cache
def _grid(name: str) -> Tensor:
    """Return a type's table, int8.

    Raises:
        CheckpointError: the package that has it is not installed.
    """
    try:
        from gguf import quants
    except ImportError as error:
        raise CheckpointError(
            f"blocks of {name} need a table of the package `gguf`: pip install gguf"
        ) from error
    kind: Any = getattr(quants, name)
    kind.init_grid()
    return torch.from_numpy(kind.grid.reshape(kind.grid_shape)).to(torch.int8)


def _signs(octets: Tensor) -> Tensor:
    """Return -1 for each bit that is set and 1 for others, int8 [..., bytes, 8]."""
    bits = torch.arange(8, dtype=torch.uint8, device=octets.device)
    return 1 - 2 * ((octets.unsqueeze(-1) >> bits) & 1).to(torch.int8)


def _with_parity(sevens: Tensor) -> Tensor:
    """Return bytes of seven given bits, whose eighth makes the number of set bits even."""
    parity = sevens
    for shift in (4, 2, 1):
        parity = parity ^ (parity >> shift)
    return (sevens | ((parity & 1) << 7)).to(torch.uint8)


def _seven_bits(words: Tensor) -> tuple[Tensor, Tensor]:
    """Return the signs [n, words * 4, 8] and the scale [n, words] in words of four bytes: four
    times seven bits, and four."""
    octets = words.long()
    whole = octets[..., 0] | (octets[..., 1] << 8) | (octets[..., 2] << 16) | (octets[..., 3] << 24)
    sevens = (whole.unsqueeze(-1) >> torch.arange(0, 28, 7, device=words.device)) & 127
    return _signs(_with_parity(sevens)).flatten(1, 2), whole >> 28


def _two_bytes(octets: Tensor) -> Tensor:
    """Return whole numbers of two bytes each, int32 [n, bytes / 2]."""
    pairs: Tensor = octets.unflatten(-1, (-1, 2)).int()
    return pairs[..., 0] | (pairs[..., 1] << 8)


def _pairs(octets: Tensor) -> Tensor:
    """Return two numbers of each byte, the lower first, [n, 2 * bytes]."""
    return _runs(octets, (0, 4), 15)


def _runs(octets: Tensor, shifts: tuple[int, ...], mask: int) -> Tensor:
    """Return the numbers in each byte, one after another, [n, bytes * shifts]."""
    by = torch.tensor(shifts, dtype=torch.uint8, device=octets.device)
    return ((octets.unsqueeze(-1) >> by) & mask).flatten(1)


# By the name of the type.
UNPACK: dict[str, Callable[[Tensor], Blocks]] = {
    "Q2_K": _q2_k,
    "Q3_K": _q3_k,
    "TQ1_0": _tq1_0,
    "TQ2_0": _tq2_0,
    "IQ4_NL": _iq4_nl,
    "IQ4_XS": _iq4_xs,
    "IQ2_XXS": _iq2_xxs,
    "IQ2_XS": _iq2_xs,
    "IQ2_S": _iq2_s,
    "IQ3_XXS": _iq3_xxs,
    "IQ3_S": _iq3_s,
    "IQ1_S": _iq1_s,
    "IQ1_M": _iq1_m,
}
