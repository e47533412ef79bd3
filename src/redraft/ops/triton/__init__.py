"""Kernels for CUDA devices. The plain torch form of an operation is the oracle of its kernel.

`uses_kernels` alone chooses. Before it has returned True no file of this folder that imports Triton
is imported: Triton comes with torch for CUDA, and is missing elsewhere.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import torch
from torch import Tensor

# Types of devices that kernels are used for. Tests add "cpu", where Triton's interpreter runs them.
KERNEL_DEVICES = {"cuda"}
# Compute capability: Ampere, the first that multiplies bfloat16.
MIN_CAPABILITY = (8, 0)


def uses_kernels(x: Tensor) -> bool:
    """Return True if operations on `x` run in kernels: on a CUDA device that can run them, and
    where no gradient is computed."""
    if (
        x.device.type not in KERNEL_DEVICES
        or torch.is_grad_enabled()
        or torch.compiler.is_compiling()
    ):
        return False
    return _runs_kernels(x.device)


def uses_row_kernels(x: Tensor) -> bool:
    """Return True if what stands between products runs in kernels too."""
    return uses_kernels(x) and _runs_kernels(x.device, "check_row_kernels")


def reads_form(device: torch.device, form: str) -> bool:
    """Return True if kernels on a device read matrices of this form (`ops.packed_layout.Form`)."""
    return device.type != "cuda" or _runs_kernels(device, "check_form", form)


# Devices and trials, and whether kernels passed them: asked once, unless memory was short.
_ANSWERS: dict[tuple[object, ...], bool] = {}


def _runs_kernels(device: torch.device, check: str = "check_kernels", *about: str) -> bool:
    """Return True if kernels are compiled and run rightly by what is installed on the machine.

    Args:
        check: the trial that they must pass, a function of `trial`.
        about: what else it is told.

    Raises:
        torch.OutOfMemoryError: the device has no memory for the trial, which is then made again.
    """
    key = (device, check, *about)
    if key not in _ANSWERS:
        _ANSWERS[key] = _can_run(device, check, *about)
    return _ANSWERS[key]


def _can_run(device: torch.device, check: str, *about: str) -> bool:
    if find_spec("triton") is None:
        return False
    if device.type != "cuda":  # the interpreter
        return True
    if torch.version.cuda is None or torch.cuda.get_device_capability(device) < MIN_CAPABILITY:
        return False
    try:
        from redraft.ops.triton import trial

        getattr(trial, check)(device, *about)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        warnings.warn(
            f"kernels cannot run on {device}, plain torch runs instead "
            f"({' '.join((check, *about))}): {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True
