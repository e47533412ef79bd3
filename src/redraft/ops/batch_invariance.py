"""Rows of a pass, padded so that what a row becomes never depends on its neighbours.

On a CPU, in float32, two things would make a row's last bits depend on how many rows there are.
Below about six rows a thread MKL takes another kernel, whose additions come in another order. And
what is left over when numbers are taken 32 at a time (two vectors) goes through scalar functions
that round differently from the vector ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

VECTOR_ROWS = 32


def least_rows(like: Tensor) -> int:
    """Rows a product should have at least; 1 where padding changes nothing that is promised."""
    if like.device.type != "cpu" or like.dtype != torch.float32:
        return 1
    return max(16, 8 * torch.get_num_threads())


def pad_rows(x: Tensor, count: int) -> Tensor:
    """`x` [N, ...] with zero rows behind it, `count` rows in all (N or more)."""
    return x if len(x) >= count else F.pad(x, (0, 0) * (x.ndim - 1) + (0, count - len(x)))


def whole_rows(x: Tensor) -> Tensor:
    """`x` [N, ...] padded to a number of rows at which every row is computed alike."""
    least = least_rows(x)
    if least == 1:
        return x
    count = max(len(x), least)
    return pad_rows(x, -(-count // VECTOR_ROWS) * VECTOR_ROWS)
