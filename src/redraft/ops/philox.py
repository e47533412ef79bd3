"""Philox4x32-10, a counter-based random number generator.

A counter gives the same words in any order of calls and on any device.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from redraft.ops.triton import uses_kernels

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
WORD = 0xFFFFFFFF


def philox(
    counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]
) -> tuple[Tensor, ...]:
    """Return four random 32-bit words for each counter.

    Args:
        counter: four int64 tensors that broadcast together, each holding values below 2**32.
        key: two int64 tensors that broadcast with them, values below 2**32.

    Returns:
        Four int64 tensors of the broadcast shape, values in [0, 2**32).
    """
    if uses_kernels(counter[0]):
        from redraft.ops.triton.philox import philox as in_kernel

        return in_kernel(counter, key)
    if counter[0].device.type == "cpu":
        return _with_numpy(counter, key)
    c0, c1, c2, c3 = torch.broadcast_tensors(*counter)
    k0, k1 = key
    for _ in range(ROUNDS):
        high0, low0 = _multiply(c0, MULTIPLIERS[0])
        high1, low1 = _multiply(c2, MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return c0, c1, c2, c3


def _with_numpy(
    counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]
) -> tuple[Tensor, ...]:
    """Compute `philox` in a third of the operations, each of which costs half of one of torch's."""
    every = torch.broadcast_tensors(*counter, *key)
    words = np.stack([part.numpy() for part in every]).astype(np.uint64)
    even, odd, keys = words[:4:2], words[1:4:2], words[4:]
    shape = (2,) + (1,) * (even.ndim - 1)
    factors, steps = (np.array(pair, np.uint64).reshape(shape) for pair in (MULTIPLIERS, WEYL))
    word, half = np.uint64(WORD), np.uint64(32)
    for _ in range(ROUNDS):
        products = even * factors
        even, odd = (products >> half)[::-1] ^ odd ^ keys, (products & word)[::-1]
        keys = (keys + steps) & word
    found = np.stack((even, odd), 1).reshape(4, *even.shape[1:]).astype(np.int64)
    return tuple(torch.from_numpy(found))


def _multiply(a: Tensor, b: int) -> tuple[Tensor, Tensor]:
    """Return the high and the low word of the 64-bit product.

    int64 wraps around, but the bits are right.
    """
    product = a * b
    return (product >> 32) & WORD, product & WORD
