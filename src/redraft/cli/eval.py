"""`redraft eval`: a held-out set through a model, both ways of writing, as a table or JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from redraft.cli.write import errors, open_model
from redraft.engine.model import Method
from redraft.errors import ConfigError
from redraft.evals import Row, evaluate, summarise
from redraft.tasks import Arithmetic, Sudoku, Task
from redraft.tasks.task import held_out

# Task by name, and the bins of difficulty that its table has.
SETS: dict[str, tuple[Task, list[tuple[int, int]]]] = {
    "sudoku": (Sudoku(), [(28, 38), (39, 48), (49, 54), (55, 58)]),
    "arithmetic": (Arithmetic(), [(2, 2), (3, 3), (4, 4), (5, 5), (6, 6)]),
}


def run(name: str, path: str, count: int, seed: int, as_json: bool) -> None:
    """Evaluate by diffusion and as a typewriter on the same examples."""
    if name not in SETS:
        raise ConfigError(f"there is no set {name!r}: choose one of {', '.join(SETS)}")
    task, bins = SETS[name]
    examples = held_out(task, count)
    model = open_model(path, "auto", "auto")
    results: dict[str, list[Row]] = {}
    methods: tuple[Method, ...] = ("diffusion", "typewriter")
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        for method in methods:
            advance = partial(bar.advance, bar.add_task(method, total=count))
            outcomes = evaluate(model, task, examples, method=method, seed=seed, progress=advance)
            results[method] = summarise(outcomes, bins)
    if as_json:
        rows = {method: [asdict(row) for row in table] for method, table in results.items()}
        print(json.dumps({"set": name, "count": count, "seed": seed} | rows))
        return
    for way, figures in results.items():
        Console().print(table(f"{name}, {count} held-out examples, {way}", figures))


def table(title: str, rows: list[Row]) -> Table:
    """One way of writing, a row a bin."""
    shown = Table(
        "difficulty", "count", "right", "95 %", "passes", "first pass", "corrected", title=title, title_justify="left"
    )
    for row in rows:
        shown.add_row(
            f"{row.least} to {row.most}",
            str(row.count),
            _percent(row.right),
            f"{_percent(row.low)} to {_percent(row.high)}",
            f"{row.mean_steps:.1f}",
            _percent(row.right_after_first),
            _percent(row.corrected),
        )
    return shown


def _percent(share: Any) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
