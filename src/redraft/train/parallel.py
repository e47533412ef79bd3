"""One run in several processes, which this file starts on one machine, or torchrun on many.

Each process takes a part of every batch, and all make the same update. Two processes of one thread
are faster than one process of two threads: the operations of the small models are too short to
share.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import TypeVar, cast

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from redraft import errors
from redraft.config.check import check_integer
from redraft.errors import ConfigError
from redraft.train.launcher import WORLD_SIZE, launched

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
# How processes start. These are told (Linux) when this one dies, so that none goes on alone.
START = "spawn"
# The file in which a process leaves a RedraftError.
ERROR = "error"
# The others wait so long for a process that answers held-out records, or writes a checkpoint.
PATIENCE = timedelta(hours=6)

T = TypeVar("T")


def summed(*numbers: int) -> list[int]:
    """Return numbers summed over all processes."""
    if world_size() == 1:
        return list(numbers)
    found = torch.tensor(numbers)
    dist.all_reduce(found)
    return [int(one) for one in found.tolist()]


def gathered(values: Sequence[T]) -> list[T]:
    """Return the values of all processes; all must call this."""
    if world_size() == 1:
        return list(values)
    found: list[Sequence[T]] = [[]] * world_size()
    dist.all_gather_object(found, values)
    return list(chain.from_iterable(found))


def check_processes(count: int, batch_size: int) -> None:
    """Check that a batch can be divided among `count` processes, or those of a launcher.

    Raises:
        ConfigError: it cannot, or both are there.
    """
    check_integer("processes", count, minimum=1)
    others = launched()
    if count > 1 and others > 1:
        raise ConfigError(
            f"processes={count}, and a launcher started {others} of this command: leave out one"
        )
    count = max(count, others)
    if batch_size % count:
        raise ConfigError(
            f"processes={count} must divide batch_size={batch_size}: each takes an equal part"
        )


def run_in_processes(count: int, function: Callable[..., object], *args: object) -> bool:
    """Run function(*args) in `count` processes that can average with each other.

    If `count` is 1, it runs in this process, together with those that a launcher started.

    SIGINT and SIGTERM are for the function to handle, in every process; this process waits.

    Returns:
        True if there was such a signal.

    Raises:
        RedraftError: a process raised it; the others are stopped.
        ConfigError: the processes of a launcher do not find each other.
        torch.multiprocessing.ProcessRaisedException: a process failed otherwise.
    """
    if count == 1:
        _run_here(function, *args)
        return False
    received: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        member_args = (count, Path(folder) / "store", function, args)
        context = mp.start_processes(  # type: ignore[attr-defined,no-untyped-call]
            _member, member_args, nprocs=count, join=False, start_method=START
        )

        def forward(number: int, _: object) -> None:
            received.append(number)
            # A terminal sends SIGINT to all processes itself.
            if number == signal.SIGTERM:
                for process in context.processes:
                    if process.is_alive():
                        process.terminate()

        with on_interrupt(forward):
            try:
                while not context.join():
                    pass
            except mp.ProcessRaisedException:  # type: ignore[attr-defined]
                _raise_again(Path(folder) / ERROR)
                raise
    return bool(received)


def _run_here(function: Callable[..., object], *args: object) -> None:
    """Run the function in this process, as one of a launcher's where there is one."""
    count = launched()
    if count < 2:
        function(*args)
        return
    on_this_machine = os.environ.get("LOCAL_WORLD_SIZE") == os.environ[WORLD_SIZE]
    if sys.platform == "linux" and on_this_machine:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(backend, timeout=PATIENCE)
        # Nobody writes into the folder of the run before all have looked into it.
        dist.barrier()
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"the {count} processes do not find each other: {error}") from error
    try:
        function(*args)
    finally:
        dist.destroy_process_group()


@contextmanager
def on_interrupt(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Let `handler` handle SIGINT and SIGTERM within the context."""
    before = {number: signal.signal(number, handler) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _raise_again(path: Path) -> None:
    """Raise the RedraftError that a process left in the file, if there is one."""
    if path.exists():
        name, _, message = path.read_text().partition("\n")
        kind = getattr(errors, name)
        error = kind.__new__(kind)  # some have more arguments than their message
        Exception.__init__(error, message)
        raise error


def _member(
    number: int,
    count: int,
    store: Path,
    function: Callable[..., object],
    args: tuple[object, ...],
) -> None:
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    # Until the function handles them: a start must not be interrupted half-way.
    for interrupt in INTERRUPTS:
        signal.signal(interrupt, signal.SIG_IGN)
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=store.as_uri(), rank=number, world_size=count, timeout=PATIENCE
    )
    # All are connected before one may fail: the others would tell of a lost connection instead.
    dist.barrier()
    try:
        function(*args)
    except errors.RedraftError as error:
        (store.parent / ERROR).write_text(f"{type(error).__name__}\n{error}")
        raise
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def any_process(flag: bool) -> bool:
    """Return true if the flag is set in any process; all processes must call this."""
    if world_size() == 1:
        return flag
    total = torch.tensor([float(flag)])
    dist.all_reduce(total)
    return bool(total > 0)


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient with its mean over all processes."""
    if world_size() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world_size()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def whole_tensor(tensor: Tensor) -> Tensor:
    """Return a tensor that is divided among all processes as a whole; all must call this."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else cast(Tensor, gather())


def part_like(like: Tensor, whole: Tensor) -> Tensor:
    """Return this process's part of a tensor, if `like`, of the same shape, is divided."""
    mesh = getattr(like, "device_mesh", None)
    if mesh is None or whole.shape != like.shape:
        return whole
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    # Every process has read the whole, so none has to send it.
    moved = whole.to(like.device)
    return distribute_tensor(moved, mesh, like.placements, src_data_rank=None)
