"""`redraft eval set`: a held-out set by diffusion and autoregressively, as tables, JSON and a
picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from redraft.cli.eval.figures import EXAMPLES, interval, percent, plotter
from redraft.cli.eval.strategies import measure_strategies
from redraft.cli.options import (
    FirstSeedOption,
    JsonOption,
    PictureOption,
    SamplersOption,
    SetModelOption,
    StoppingsOption,
)
from redraft.cli.progress import open_model, progress_bars
from redraft.errors import ConfigError

if TYPE_CHECKING:
    from redraft.evals import DifficultyRow, HeldOutSet, WikiFacts


def measure_set(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="sudoku, arithmetic, sums, infill, rewrite, edits, open-edits or wiki.",
        ),
    ],
    model: SetModelOption = None,
    count: Annotated[
        int | None, typer.Option(help=f"The number of examples; {EXAMPLES} unless given.", min=1)
    ] = None,
    seed: FirstSeedOption = 0,
    attempts: Annotated[
        int,
        typer.Option(
            help="Seeds to try where the rules say that an answer is wrong; in a table of its own. "
            "For sudoku.",
            min=1,
        ),
    ] = 1,
    autoregressive: Annotated[
        str | None,
        typer.Option(
            metavar="CHECKPOINT", help="A model that was trained autoregressively, to compare."
        ),
    ] = None,
    sampler: SamplersOption = None,
    stopping: StoppingsOption = None,
    png: PictureOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a model on a held-out set.

    By diffusion and autoregressively: the share of right answers by difficulty, with its 95 %
    interval, and the mean number of steps.
    """
    from redraft.evals import compare_methods, summarise, wiki_facts
    from redraft.evals.example_requests import example_encoder
    from redraft.tasks.task import held_out

    held = _find_set(name, attempts)
    if sampler or stopping:
        if attempts > 1 or autoregressive or png:
            raise ConfigError(
                "--sampler and --stopping take NAME, --model, --count, --seed and --json: no others"
            )
        pairs = sampler or [], stopping or []
        measure_strategies(name, held, model, *pairs, count=count, seed=seed, as_json=as_json)
        return
    plot = None if png is None else plotter(png)
    loaded = open_model(model or held.model)
    other = open_model(autoregressive) if autoregressive else None
    # A model without a chat template is reported now, not after the others have been measured.
    for one in filter(None, (loaded, other)):
        example_encoder(one)
    examples = held_out(held.task, count or EXAMPLES)
    with progress_bars(len(examples)) as begin:
        columns = compare_methods(
            held, examples, loaded, other, attempts=attempts, seed=seed, begin=begin
        )
    rows = {way: summarise(outcomes, held.bins) for way, outcomes in columns.items()}
    counted = (
        {way: wiki_facts(outcomes) for way, outcomes in columns.items()} if name == "wiki" else {}
    )
    title = f"{name}, {len(examples)} held-out examples"
    if as_json:
        head: dict[str, object] = {"set": name, "count": len(examples), "seed": seed}
        print(json.dumps(head | to_json(rows, counted)))
    else:
        _print(title, held, rows, counted)
    if plot is not None:
        plot.plot_rows(rows, title, held.unit, png)


def _find_set(name: str, attempts: int) -> HeldOutSet:
    """Return a held-out set.

    Raises:
        ConfigError: there is no such set, or it does not allow so many attempts.
    """
    from redraft.evals import SETS

    if name not in SETS:
        raise ConfigError(
            f"there is no set {name!r}: choose one of {', '.join(SETS)}, or the command infill or "
            "divergence"
        )
    if attempts > 1 and not SETS[name].ruled:
        raise ConfigError(
            f"--attempts is for sets that are checked by rules alone, {name} is not one: "
            "leave it out"
        )
    return SETS[name]


def to_json(
    rows: Mapping[str, list[DifficultyRow]], counted: Mapping[str, WikiFacts]
) -> dict[str, object]:
    """Return the tables as `redraft eval set --json` prints them."""
    found: dict[str, object] = {}
    for way, table in rows.items():
        found[way] = [asdict(row) for row in table]
    if counted:
        found["facts"] = {way: asdict(number) for way, number in counted.items()}
    return found


def _print(
    title: str,
    held: HeldOutSet,
    rows: Mapping[str, list[DifficultyRow]],
    counted: Mapping[str, WikiFacts],
) -> None:
    for way, table in rows.items():
        Console().print(_table(f"{title}, {way}", held.unit, table))
        if way in counted:
            Console().print(str(counted[way]), style="dim")


def _table(title: str, unit: str, rows: list[DifficultyRow]) -> Table:
    """Return the table of one method: a row for each bin of difficulty."""
    names = ("", "count", "right", "95 %", "steps", "first step", "corrected")
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
