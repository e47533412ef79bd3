"""Progress on standard error: bars that only a terminal shows, and the loading of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

if TYPE_CHECKING:
    from redraft.api import Model

errors = Console(stderr=True)

Advance = Callable[[], None]


@contextmanager
def progress_bars(total: int) -> Iterator[Callable[[str], Advance]]:
    """Yield a function that adds a bar of `total` steps, and returns what advances it by one."""
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bars:

        def begin(name: str) -> Advance:
            return partial(bars.advance, bars.add_task(name, total=total))

        yield begin


def open_model(
    path_or_id: str,
    dtype: str = "auto",
    device: str = "auto",
    adapters: Mapping[str, Path] | None = None,
    *,
    vision: bool = True,
) -> Model:
    """Load a model, and adapters of it by name, behind a progress bar; without `vision` it has no
    image encoder."""
    from redraft.api import load

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("loading tensors", total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        def warming(done: int, total: int) -> None:
            text = "compiling kernels"
            bar.update(task, description=text, completed=done, total=total)

        return load(
            path_or_id,
            dtype=dtype,
            device=device,
            vision=vision,
            progress=update,
            warming=warming,
            adapters=adapters,
        )
