"""One run in several processes of one machine: each takes a part of every batch, and all make the
same update.

Two processes of one thread each are faster than one process of two: the small model's operations
are too short to share.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from redraft import errors
from redraft.config.check import check_integer
from redraft.errors import ConfigError

Work = Callable[..., Any]
INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
ERROR = "error"  # the file in which a process leaves one of our errors


def check(count: int, batch_size: int) -> None:
    """Whether a batch can be shared.

    Raises:
        ConfigError: it cannot.
    """
    check_integer("processes", count, minimum=1)
    if batch_size % count:
        raise ConfigError(
            f"processes={count} must divide batch_size={batch_size}, so that each has as much to do"
        )


def in_processes(count: int, work: Work, *args: Any) -> bool:
    """Run work(*args) in `count` processes that can average with each other; in this one where it
    is the only one.

    Ctrl-C and a request to end are for the work to handle, in every process: this one waits, and
    returns whether there was one.

    Raises:
        RedraftError: a process raised it; the others are stopped.
        torch.multiprocessing.ProcessRaisedException: a process failed otherwise.
    """
    if count == 1:
        work(*args)
        return False
    told: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        given = (count, Path(folder) / "store", work, args)
        context = mp.spawn(_member, given, nprocs=count, join=False)  # type: ignore[attr-defined,no-untyped-call]

        def tell(name: int, _: object) -> None:
            told.append(name)
            for process in context.processes:
                if (
                    name == signal.SIGTERM and process.is_alive()
                ):  # a terminal sends SIGINT to the others itself
                    process.terminate()

        with on_interrupt(tell):
            try:
                while not context.join():
                    pass
            except mp.ProcessRaisedException:  # type: ignore[attr-defined]
                _raise_again(Path(folder) / ERROR)
                raise
    return bool(told)


@contextmanager
def on_interrupt(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Let `handler` take Ctrl-C and requests to end meanwhile."""
    before = {name: signal.signal(name, handler) for name in INTERRUPTS}
    try:
        yield
    finally:
        for name, former in before.items():
            signal.signal(name, former)


def _raise_again(path: Path) -> None:
    """Raise the error that a process left behind, if it was one of ours."""
    if path.exists():
        name, _, message = path.read_text().partition("\n")
        kind = getattr(errors, name)
        error = kind.__new__(kind)  # some are made of more than their message
        Exception.__init__(error, message)
        raise error


def _member(number: int, count: int, store: Path, work: Work, args: tuple[Any, ...]) -> None:
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    for name in INTERRUPTS:  # until the work takes them: half of a start is not to be stopped
        signal.signal(name, signal.SIG_IGN)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=store.as_uri(), rank=number, world_size=count)
    try:
        work(*args)
    except errors.RedraftError as error:
        (store.parent / ERROR).write_text(f"{type(error).__name__}\n{error}")
        raise
    finally:
        dist.destroy_process_group()


def number() -> int:
    """Which of the processes this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def anyone(wish: bool) -> bool:
    """Whether any of the processes has the wish; all must ask."""
    if count() == 1:
        return wish
    flag = torch.tensor([float(wish)])
    dist.all_reduce(flag)
    return bool(flag > 0)


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Put the mean of all processes' gradients in the place of each."""
    if count() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= count()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
