"""Processes of a launcher such as torchrun, by what it leaves in the environment."""

from __future__ import annotations

import os

import torch

from redraft.errors import ConfigError

# Set by torchrun, and by what starts processes as it does.
RANK, WORLD_SIZE, LOCAL_RANK = "RANK", "WORLD_SIZE", "LOCAL_RANK"


def launched() -> int:
    """Return how many processes a launcher such as torchrun started, 0 if none did.

    Raises:
        ConfigError: it left something else than numbers in the environment.
    """
    if not {RANK, WORLD_SIZE} <= set(os.environ):
        return 0
    try:
        number, count, _ = (int(os.environ.get(key, 0)) for key in (RANK, WORLD_SIZE, LOCAL_RANK))
    except ValueError:
        number, count = 0, -1
    if not 0 <= number < count:
        given = ", ".join(f"{key}={os.environ.get(key)}" for key in (RANK, WORLD_SIZE, LOCAL_RANK))
        raise ConfigError(f"the environment has {given}, which is no launcher's: unset them")
    return count


def check_not_launched() -> None:
    """Check that this is no process of a launcher.

    Raises:
        ConfigError: it is.
    """
    if launched() > 1:
        raise ConfigError("this command starts its processes itself: leave out torchrun")


def own_device(device: str, count: int) -> str:
    """Return the device of this process; each process of a launcher has its own.

    Args:
        device: as the user named it. count: processes of `run_in_processes`.

    Raises:
        ConfigError: processes and devices do not fit.
    """
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    several = max(count, launched())
    if several == 1 or device == "cpu" or (device == "auto" and not there):
        return device
    if count > 1:
        raise ConfigError(
            f"processes={count} share the CPU: take --device cpu, or for {there} CUDA devices "
            f"torchrun --nproc-per-node {there} -m redraft finetune ..."
        )
    own = int(os.environ.get(LOCAL_RANK, 0))
    if device not in ("auto", "cuda") or own >= there:
        raise ConfigError(
            f"device={device!r}, and a launcher started {several} processes, here process {own} "
            f"of {there} CUDA devices: take --device cuda and one process a device"
        )
    torch.cuda.set_device(own)
    return f"cuda:{own}"
