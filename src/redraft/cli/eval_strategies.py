"""`redraft eval SET --sampler NAME --stopping NAME`: one table of samplers and stopping criteria."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from redraft.cli.eval import EXAMPLES, percent
from redraft.cli.write import errors, open_model
from redraft.diffusion import as_sampler, as_stopping
from redraft.errors import ConfigError
from redraft.evals import SETS
from redraft.evals.infilling import layout
from redraft.evals.strategies import StrategyRow, compare_strategies
from redraft.tasks.task import held_out


def run(
    name: str,
    path: str | None,
    *,
    samplers: Sequence[str],
    stopping: Sequence[str],
    count: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Write the same examples with each sampler and each stopping criterion."""
    if name not in SETS:
        raise ConfigError(f"there is no set {name!r}: choose one of {', '.join(SETS)}")
    # A wrong name is an error before the model is loaded.
    for spec in samplers:
        as_sampler(spec)
    for spec in stopping:
        as_stopping(spec)
    held = SETS[name]
    model = open_model(path or held.model, "auto", "auto")
    layout(model)
    examples = held_out(held.task, count or EXAMPLES)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:

        def begin(pair: str) -> Callable[[], None]:
            return partial(bar.advance, bar.add_task(pair, total=len(examples)))

        rows = compare_strategies(
            held, examples, model, samplers or [None], stopping or [None], seed=seed, begin=begin
        )
    if as_json:
        table = [asdict(row) for row in rows]
        print(json.dumps({"set": name, "count": len(examples), "seed": seed, "strategies": table}))
    else:
        Console().print(_table(f"{name}, {len(examples)} held-out examples", rows))


def _table(title: str, rows: Sequence[StrategyRow]) -> Table:
    """Return a table with a row for each sampler and stopping criterion."""
    names = ("sampler", "stopping", "right", "95 %", "passes", "95 %", "out of steps")
    shown = Table(*names, title=title, title_justify="left")
    for row in rows:
        shown.add_row(
            row.sampler or "default",
            row.stopping or "default",
            percent(row.right),
            f"{100 * row.right_low:.0f} to {100 * row.right_high:.0f} %",
            f"{row.passes:.2f}",
            f"{row.passes_low:.2f} to {row.passes_high:.2f}",
            percent(row.unsettled),
        )
    return shown
