"""The same arithmetic in kernels of our own, for CUDA devices; the plain form is each one's oracle.

`uses_kernels` alone chooses. Nothing here is imported before it has chosen so: Triton comes with torch for CUDA, and is missing
elsewhere.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

DEVICES = {"cuda"}


def uses_kernels(x: Tensor) -> bool:
    """Whether work on `x` goes to kernels of our own: on a CUDA device, where no gradient is asked for."""
    return x.device.type in DEVICES and not torch.is_grad_enabled() and not torch.compiler.is_compiling() and _installed()


@cache
def _installed() -> bool:
    return find_spec("triton") is not None
