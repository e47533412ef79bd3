"""`redraft eval infill` with holes of unknown width: of a file, or of the held-out set."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from redraft.cli.eval import EXAMPLES, interval, percent
from redraft.cli.write import errors, open_model
from redraft.evals import SETS
from redraft.evals.hole_sets import Group, Method, fill_problems, group
from redraft.evals.problems import of_examples, read_problems
from redraft.tasks.task import held_out

WAYS: tuple[Method, ...] = ("diffusion", "typewriter")


def run(
    files: Path | None,
    path: str | None,
    *,
    count: int | None,
    seed: int,
    most: int,
    instruction: str | None,
    run_tests: bool,
    as_json: bool,
) -> None:
    """Fill problems from both sides, and left to right by the same weights with the same search."""
    held = SETS["infill"]
    if files is None:
        problems = of_examples(held.task, held_out(held.task, count or EXAMPLES), held.bins)
    else:
        problems = read_problems(files, most, instruction, run_tests)[:count]
    model = open_model(path or held.model, "auto", "auto")
    tables: dict[str, list[Group]] = {}
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        for way in WAYS:
            advance = partial(bar.advance, bar.add_task(way, total=len(problems)))
            tables[way] = group(list(fill_problems(model, problems, way, seed, advance)))
    if as_json:
        told = {way: [asdict(row) for row in rows] for way, rows in tables.items()}
        print(json.dumps({"set": "infill", "count": len(problems), "seed": seed} | told))
        return
    for name, rows in tables.items():
        Console().print(
            _table(f"{len(problems)} examples with holes of unknown width, {name}", rows)
        )


def _table(title: str, rows: list[Group]) -> Table:
    shown = Table(
        "",
        "count",
        "exact",
        "95 %",
        "distance",
        "right",
        "steps",
        title=title,
        title_justify="left",
    )
    shown.columns[0].overflow = "fold"
    for row in rows:
        shown.add_row(
            row.name,
            str(row.count),
            percent(row.exact),
            interval(row),
            f"{row.mean_distance:.3f}",
            percent(row.passed),
            f"{row.mean_steps:.1f}",
        )
    return shown
