"""`redraft eval set NAME --sampler ... --stopping ...`: samplers and stopping criteria in one
table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from redraft.cli.eval.figures import EXAMPLES, percent
from redraft.cli.progress import open_model, progress_bars

if TYPE_CHECKING:
    from redraft.evals import HeldOutSet
    from redraft.evals.strategies import StrategyRow


def measure_strategies(
    name: str,
    held: HeldOutSet,
    model: str | None,
    samplers: Sequence[str],
    stopping: Sequence[str],
    *,
    count: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Write the examples of a held-out set with each sampler and each stopping criterion."""
    from redraft.diffusion import as_sampler, as_stopping
    from redraft.evals.example_requests import example_encoder
    from redraft.evals.strategies import compare_strategies
    from redraft.tasks.task import held_out

    # A wrong name is an error before the model is loaded.
    for spec in samplers:
        as_sampler(spec)
    for spec in stopping:
        as_stopping(spec)
    loaded = open_model(model or held.model)
    example_encoder(loaded)
    examples = held_out(held.task, count or EXAMPLES)
    with progress_bars(len(examples)) as begin:
        rows = compare_strategies(
            held, examples, loaded, samplers or [None], stopping or [None], seed=seed, begin=begin
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
            "" if row.passes_low is None else f"{row.passes_low:.2f} to {row.passes_high:.2f}",
            percent(row.unsettled),
        )
    return shown
