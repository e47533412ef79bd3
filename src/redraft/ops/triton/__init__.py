"""The same arithmetic in kernels of our own, for CUDA devices; the plain form is each one's oracle.

`uses_kernels` alone chooses. Nothing else here is imported before it has chosen so: Triton comes
with torch for CUDA, and is missing elsewhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, wraps
from importlib.util import find_spec
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

DEVICES = {"cuda"}
OLDEST = (8, 0)  # compute capability: Ampere, the first that multiplies bfloat16

Given = ParamSpec("Given")
Found = TypeVar("Found")


def uses_kernels(x: Tensor) -> bool:
    """Whether work on `x` goes to kernels of our own: on a CUDA device that they run on, where no
    gradient is asked for."""
    if x.device.type not in DEVICES or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    return _run_on(x.device)


@cache
def _run_on(device: torch.device) -> bool:
    """Whether kernels run there: found out by running one, for they are compiled by what is on the
    machine."""
    if find_spec("triton") is None:
        return False
    if device.type != "cuda":  # the interpreter's
        return True
    if torch.version.cuda is None or torch.cuda.get_device_capability(device) < OLDEST:
        return False
    try:
        from redraft.ops.triton.combine import combine

        ones = torch.ones(2, 16, device=device)
        return bool((combine(ones, ones[:1, :2].contiguous()) == 2).all())
    except Exception as error:
        warnings.warn(
            f"kernels cannot be compiled for {device}, plain torch runs instead: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return False


def on_its_device(function: Callable[Given, Found]) -> Callable[Given, Found]:
    """A function whose first argument, a tensor or a tuple of them, says on which device its
    kernels are launched."""

    @wraps(function)
    def run(*args: Given.args, **kwargs: Given.kwargs) -> Found:
        first: Any = args[0]
        tensor = first[0] if isinstance(first, tuple) else first
        with launched_on(tensor.device):
            return function(*args, **kwargs)

    return run


def launched_on(device: torch.device) -> AbstractContextManager[Any]:
    """What is launched within goes to this device, whichever is the current one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
