"""`redraft batch`: a file of requests answered into a file."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from redraft.cli import serving
from redraft.cli.options import (
    GIB,
    AdaptersOption,
    DeviceOption,
    DtypeOption,
    MemoryOption,
    ModelsOption,
    RayOption,
    ReplicaCpusOption,
    ReplicasOption,
    RequestNameOption,
    VisionOption,
)
from redraft.cli.progress import errors, open_model

if TYPE_CHECKING:
    from redraft.batch.engines import LocalEngines
    from redraft.batch.files import JobFiles
    from redraft.batch.lines import Defaults
    from redraft.batch.models import ModelsToLoad
    from redraft.batch.run import Progress
    from redraft.cluster.batch import RayEngines


# Seconds between two lines of progress where no terminal shows a bar.
INTERVAL = 10.0
STOPPED = 130  # exit status, as of a program that Ctrl-C ended


def batch(
    source: Annotated[Path, typer.Argument(metavar="IN.jsonl", help="The requests, one a line.")],
    output: Annotated[
        Path, typer.Argument(metavar="OUT.jsonl", help="The answers; taken up again if begun.")
    ],
    model: ModelsOption = None,
    adapter: AdaptersOption = None,
    name: RequestNameOption = None,
    rows: Annotated[int, typer.Option("--batch", help="The largest batch of a model.", min=1)] = 32,
    seed: Annotated[
        int,
        typer.Option(help="The seeds of lines that have none follow from it.", min=0),
    ] = 0,
    memory: MemoryOption = None,
    ray: RayOption = None,
    replicas: ReplicasOption = None,
    replica_cpus: ReplicaCpusOption = 1,
    vision: VisionOption = True,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Answer a file of requests, in order, many at a time.

    A line is a chat, a completion, an infill or an edit in the server's own fields, or a line of
    OpenAI's batch files. Lines that cannot be answered are in OUT.errors.jsonl. A job that was
    ended, however it was, goes on when the same command is run again. Exit status 1: some lines
    have errors.
    """
    serving.check_packages()
    from redraft.batch.files import Input, JobFiles
    from redraft.batch.lines import Defaults
    from redraft.batch.models import ModelsToLoad
    from redraft.cluster.connection import check_ray

    if ray is not None or replicas is not None:
        check_ray()
    paths, adapters = serving.model_paths(model, name, adapter or ())
    models = ModelsToLoad(
        paths=paths,
        adapters={one: str(path) for one, path in adapters.items()},
        dtype=dtype,
        device=device,
        vision=vision,
        batch=rows,
        memory=None if memory is None else int(memory * GIB),
    )
    settings = {"models": dict(paths), "adapters": dict(models.adapters), "seed": seed}
    settings |= {"dtype": dtype, "vision": vision}
    with JobFiles(Input.of(source), output, settings) as files:
        total = files.source.lines
        if files.done < total:
            only = next(iter(paths)) if len(paths) == 1 else None
            defaults = Defaults(only, seed, source.parent)
            if ray is None and replicas is None:
                engines: LocalEngines | RayEngines = _engines(models)
            else:
                engines = _ray_engines(models, ray, replicas or 1, replica_cpus)
            run_until_stopped(files, engines, defaults)
        done, failed, reports = files.done, files.failed, files.errors
    told = f"redraft: {done - failed} of {total} lines are answered in {output}"
    if failed:
        told += f"; {failed} have errors, in {reports}"
    errors.print(told, highlight=False)
    if done < total:
        errors.print("redraft: stopped; the same command goes on", highlight=False)
        raise typer.Exit(STOPPED)
    if failed:
        raise typer.Exit(1)


def _engines(models: ModelsToLoad) -> LocalEngines:
    """Return the engines of a job, which are not open yet."""
    adapters = {one: Path(path) for one, path in models.adapters.items()}
    loaded = {
        one: open_model(path, models.dtype, models.device, adapters, vision=models.vision)
        for one, path in models.paths.items()
    }
    return models.engines(loaded)


def _ray_engines(models: ModelsToLoad, ray: str | None, replicas: int, cpus: int) -> RayEngines:
    """Return engines on a cluster, or on a Ray of this machine, which are not open yet."""
    from redraft.cluster.batch import RayEngines
    from redraft.cluster.connection import LOCAL

    return RayEngines(models, ray or LOCAL, replicas=replicas, cpus=cpus)


def run_until_stopped(
    files: JobFiles, engines: LocalEngines | RayEngines, defaults: Defaults
) -> None:
    """Run a job and show its progress; SIGINT and SIGTERM end it between two lines."""
    from redraft.batch.run import run_job

    async def answer() -> None:
        async with engines:
            with _telling(files) as report:
                await run_job(files, engines, defaults, report)

    async def main() -> None:
        task = asyncio.ensure_future(answer())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):  # Windows
                loop.add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            await task

    with suppress(KeyboardInterrupt):
        asyncio.run(main())


@contextmanager
def _telling(files: JobFiles) -> Iterator[Callable[[Progress], None]]:
    """Yield what shows progress: a bar in a terminal, else a line now and then."""
    columns = (TextColumn("lines"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("lines", total=files.source.lines, completed=files.done)
        told = time.monotonic()

        def report(progress: Progress) -> None:
            nonlocal told
            bar.update(task, completed=progress.done)
            if not errors.is_terminal and time.monotonic() - told >= INTERVAL:
                told = time.monotonic()
                errors.print(f"redraft: {_line(progress)}", highlight=False)

        yield report


def _line(progress: Progress) -> str:
    left = progress.seconds_left
    told = f"{progress.done} of {progress.total} lines, {progress.rate:.1f} a second"
    if progress.failed:
        told += f", {progress.failed} with errors"
    return told if left is None else f"{told}, {timedelta(seconds=round(left))} left"
