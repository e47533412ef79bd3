"""What tests of kernels share: the device, with kernels and without, and random tensors there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from redraft.ops import triton as kernels

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def with_kernels() -> Iterator[None]:
    """With kernels, without gradients; on a processor they run in Triton's interpreter."""
    kernels.KERNEL_DEVICES.add(DEVICE)
    try:
        with torch.inference_mode():
            yield
    finally:
        if DEVICE != "cuda":
            kernels.KERNEL_DEVICES.discard(DEVICE)


@contextmanager
def plainly() -> Iterator[None]:
    """Without kernels."""
    kernels.KERNEL_DEVICES.discard(DEVICE)
    try:
        yield
    finally:
        kernels.KERNEL_DEVICES.add(DEVICE)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)
