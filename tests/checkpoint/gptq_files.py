"""What a file has of a matrix in the packings of GPTQ, AWQ and AutoRound, packed by hand, one number
at a time, from their documentation."""

from __future__ import annotations

import torch
from torch import Tensor

Parts = dict[str, Tensor]
AWQ_PLACES = (0, 2, 4, 6, 1, 3, 5, 7)  # the column in each place of a word


def rounded(
    weight: Tensor, bits: int, size: int, order: Tensor | None = None, *, symmetric: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Values [K, N], scales and zero points [groups, N], the group of each column, and the numbers
    that these mean [N, K]."""
    rows, columns = weight.shape
    group = torch.arange(columns) // size
    if order is not None:
        group = torch.empty_like(group).scatter_(0, order, group)
    groups, most = columns // size, 2**bits - 1
    scales, zeros = torch.empty(groups, rows), torch.empty(groups, rows, dtype=torch.int64)
    values = torch.empty(columns, rows, dtype=torch.int64)
    for number in range(groups):
        part = weight[:, group == number]
        if symmetric:
            scale = (part.abs().amax(1) * 2 / most).half().float()
            zero = torch.full_like(scale, 2 ** (bits - 1))
        else:
            low, high = part.amin(1).clamp_max(0), part.amax(1).clamp_min(0)
            scale = ((high - low) / most).half().float()
            zero = (-low / scale).round().clamp(0, most)
        scales[number], zeros[number] = scale, zero.long()
        values[group == number] = (
            (part / scale[:, None] + zero[:, None]).round().clamp(0, most).long().T
        )
    numbers = ((values - zeros[group]) * scales[group]).T
    return values, scales, zeros, group, numbers


def words(numbers: Tensor, bits: int) -> Tensor:
    """Numbers [n, w] as a stream of bits along each row, in int32 words [n, w * bits / 32]."""
    stream = torch.stack([(numbers >> bit) & 1 for bit in range(bits)], -1).flatten(1)
    packed = (stream.unflatten(1, (-1, 32)) << torch.arange(32)).sum(-1)
    return torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32)


def gptq(
    weight: Tensor,
    bits: int = 4,
    size: int = 32,
    order: Tensor | None = None,
    *,
    second: bool = False,
    symmetric: bool = False,
    index: bool = True,
) -> tuple[Parts, Tensor]:
    """GPTQ's parts, and the numbers that they mean.

    Args:
        order: the columns as act-order sorted them. second: version 2, whose zero points are as they
            are. index: the file has g_idx.
    """
    values, scales, zeros, group, numbers = rounded(weight, bits, size, order, symmetric=symmetric)
    stored = zeros if second else (zeros - 1) % 2**bits
    parts = {
        "qweight": words(values.T, bits).T.contiguous(),
        "qzeros": words(stored, bits),
        "scales": scales.half(),
    }
    return parts | ({"g_idx": group.to(torch.int32)} if index else {}), numbers


def awq(weight: Tensor, size: int = 32) -> tuple[Parts, Tensor]:
    """AWQ's parts (version gemm), and the numbers that they mean."""
    values, scales, zeros, _, numbers = rounded(weight, 4, size)

    def interleaved(numbers: Tensor) -> Tensor:
        return words(numbers.unflatten(1, (-1, 8))[..., list(AWQ_PLACES)].flatten(1), 4)

    parts = {"qweight": interleaved(values), "qzeros": interleaved(zeros), "scales": scales.half()}
    return parts, numbers
