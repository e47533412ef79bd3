"""Launch kernels on the device of their tensors, whichever is the current one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def on_its_device(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Launch a function's kernels on the device of its first argument, a tensor or a tuple of
    tensors."""

    @wraps(function)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        tensor = args[0][0] if isinstance(args[0], tuple) else args[0]
        assert isinstance(tensor, Tensor), type(tensor)
        with launched_on(tensor.device):
            return function(*args, **kwargs)

    return run


def launched_on(device: torch.device) -> AbstractContextManager[object]:
    """Launch kernels on this device within the context, whichever is the current one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
