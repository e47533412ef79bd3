"""`redraft eval`: a held-out set through a model, both ways of writing, as a table, JSON and a
picture."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from redraft.cli.write import errors, open_model
from redraft.errors import ConfigError
from redraft.evals import SETS, Row, compare, facts, summarise
from redraft.evals.hole_sets import Group
from redraft.evals.infilling import layout
from redraft.tasks.task import held_out

EXAMPLES = 200  # of a held-out set, unless told otherwise


def run(
    name: str,
    path: str | None,
    count: int | None,
    seed: int,
    attempts: int,
    typewriter: str | None,
    png: Path | None,
    as_json: bool,
) -> None:
    """Evaluate by diffusion and as a typewriter on the same examples, and a model trained as a
    typewriter beside them."""
    if name not in SETS:
        raise ConfigError(f"there is no set {name!r}: choose one of {', '.join(SETS)}")
    held = SETS[name]
    if attempts > 1 and not held.ruled:
        raise ConfigError(
            f"--attempts is for sets that are checked by rules alone, {name} is not one: leave it out"
        )
    plot = plotter(png) if png is not None else None
    model = open_model(path or held.model, "auto", "auto")
    alone = open_model(typewriter, "auto", "auto") if typewriter else None
    for asked in (model, alone):
        if asked is not None:
            layout(asked)  # what it lacks is told now, not after the others have been measured
    examples = held_out(held.task, count or EXAMPLES)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:

        def begin(way: str) -> Callable[[], None]:
            return partial(bar.advance, bar.add_task(way, total=len(examples)))

        columns = compare(held, examples, model, alone, attempts=attempts, seed=seed, begin=begin)
    rows = {way: summarise(outcomes, held.bins) for way, outcomes in columns.items()}
    total = len(examples)
    counted = {way: facts(outcomes) for way, outcomes in columns.items()} if name == "wiki" else {}
    if as_json:
        tables = {way: [asdict(row) for row in table] for way, table in rows.items()}
        told = (
            {"facts": {way: asdict(number) for way, number in counted.items()}} if counted else {}
        )
        print(json.dumps({"set": name, "count": total, "seed": seed} | tables | told))
    else:
        for way, figures in rows.items():
            Console().print(table(f"{name}, {total} held-out examples, {way}", held.unit, figures))
            if way in counted:
                Console().print(str(counted[way]), style="dim")
    if plot is not None:
        plot.plot_rows(rows, f"{name}, {total} held-out examples", held.unit, png)


def plotter(png: Path) -> ModuleType:
    """What draws, once it is clear that it can."""
    from redraft.evals import plot

    if png.is_dir() or not os.access(png if png.exists() else png.parent, os.W_OK):
        raise ConfigError(f"{png} cannot be written: name a file in a folder that can be")
    return plot


def table(title: str, unit: str, rows: list[Row]) -> Table:
    """One way of writing, a row a bin."""
    names = ("", "count", "right", "95 %", "passes", "first pass", "corrected")
    shown = Table(*names, title=f"{title}, by {unit}", title_justify="left")
    for row in rows:
        shown.add_row(
            row.name,
            str(row.count),
            percent(row.right),
            interval(row),
            f"{row.mean_steps:.1f}",
            percent(row.right_after_first),
            percent(row.corrected),
        )
    return shown


def interval(row: Row | Group) -> str:
    """The 95 % interval of a share, for a person."""
    return f"{100 * row.low:.0f} to {100 * row.high:.0f} %"


def percent(share: float | None) -> str:
    """A share for a person; nothing where there is none."""
    return "" if share is None else f"{100 * share:.1f} %"
