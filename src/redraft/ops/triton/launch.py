"""Launch kernels on the device of their tensors, whichever is the current one, and in chains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache, wraps
from importlib.util import find_spec
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

# Compute capability of the first cards that launch a kernel before the last one has ended.
CHAINS_FROM = (9, 0)
# The name of the measurement that says whether they do, and its number for yes.
CHAINED = "chained"
_APART: ContextVar[bool] = ContextVar("_APART", default=False)

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


def chain(device: torch.device) -> dict[str, bool]:
    """Return the options of a kernel that may be launched while the one before it still runs.

    This is so where `redraft tune` found it faster. Such a kernel waits by itself (`chained.py`).
    """
    from redraft.ops.triton.measured_tiles import measured_tile

    if _APART.get() or measured_tile(device, CHAINED, 1) != (1,) or not can_chain(device):
        return {"CHAINED": False}
    return {"CHAINED": True, "launch_pdl": True}


@cache
def can_chain(device: torch.device) -> bool:
    """Return True if a card and the installed Triton have programmatic dependent launch."""
    if device.type != "cuda" or find_spec("triton.language.extra.cuda.gdc") is None:
        return False
    return torch.cuda.get_device_capability(device) >= CHAINS_FROM


@contextmanager
def apart() -> Iterator[None]:
    """Launch kernels only when all before them have ended: where they wait for two streams."""
    token = _APART.set(True)
    try:
        yield
    finally:
        _APART.reset(token)


def launched_on(device: torch.device) -> AbstractContextManager[object]:
    """Launch kernels on this device within the context, whichever is the current one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
