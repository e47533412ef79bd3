"""Padding that makes a row's result independent of the other rows of a pass, to the last bit.

On a CPU, in float32, two things would make the last bits of a row depend on how many rows there
are. Below about six rows a thread, MKL uses another kernel, which adds in another order. And the
elements that are left over when 32 are taken at a time (two vectors) go through scalar functions,
which round differently from the vector ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# The number of rows is made a multiple of this: two AVX-512 vectors of float32.
VECTOR_ROWS = 32


def min_rows(like: Tensor) -> int:
    """Return the number of rows that a product should have at least.

    It is 1 where padding changes nothing: other devices, and other dtypes than float32, make no
    promise about last bits.
    """
    if like.device.type != "cpu" or like.dtype != torch.float32:
        return 1
    return max(16, 8 * torch.get_num_threads())


def pad_rows(x: Tensor, count: int) -> Tensor:
    """Return `x` [N, ...] with zero rows behind it: `count` rows in all, or N if that is more."""
    return x if len(x) >= count else F.pad(x, (0, 0) * (x.ndim - 1) + (0, count - len(x)))


def pad_for_invariance(x: Tensor) -> Tensor:
    """Return `x` [N, ...] with zero rows behind it, so many that every row is computed alike."""
    minimum = min_rows(x)
    if minimum == 1:
        return x
    count = max(len(x), minimum)
    return pad_rows(x, -(-count // VECTOR_ROWS) * VECTOR_ROWS)
