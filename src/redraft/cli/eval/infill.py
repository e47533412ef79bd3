"""`redraft eval infill`: holes of unknown width, from a file or from the held-out set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from redraft.cli.eval.figures import EXAMPLES, interval, percent
from redraft.cli.eval.held_out import measure_set
from redraft.cli.options import FirstSeedOption, InstructionOption, JsonOption, SetModelOption
from redraft.cli.progress import open_model, progress_bars
from redraft.errors import ConfigError

if TYPE_CHECKING:
    from redraft.engine import Method
    from redraft.evals.evaluate_infill import InfillRow
    from redraft.evals.infill_problems import InfillProblem

MAX_TOKENS = 64  # in a hole of FILES, unless --max-tokens says otherwise
METHODS: tuple[Method, ...] = ("diffusion", "autoregressive")


def measure_infill(
    files: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILES",
            help="A .jsonl or .jsonl.gz of the HumanEval infilling sets, or a folder of them. "
            "Unless given: the held-out set.",
        ),
    ] = None,
    search: Annotated[
        bool,
        typer.Option(
            "--search", help="Hide the width of the holes, and search it. FILES always do."
        ),
    ] = False,
    model: SetModelOption = None,
    count: Annotated[
        int | None,
        typer.Option(
            help=f"The number of examples. Unless given: {EXAMPLES}, or all of FILES.", min=1
        ),
    ] = None,
    seed: FirstSeedOption = 0,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            help=f"FILES: the limit on tokens in a hole; {MAX_TOKENS} unless given.", min=1
        ),
    ] = None,
    instruction: InstructionOption = None,
    run_tests: Annotated[
        bool,
        typer.Option(
            "--run-tests",
            help="FILES: run the tests of the set on the infilled code, with limits on time and "
            "memory.",
        ),
    ] = False,
    autoregressive: Annotated[str | None, typer.Option(hidden=True)] = None,
    sampler: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
    stopping: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
    png: Annotated[Path | None, typer.Option(hidden=True)] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a model on holes of unknown width.

    By diffusion, and autoregressively with the same search. Without FILES and --search the
    widths are known: the same as `redraft eval set infill`.
    """
    from redraft.evals import SETS
    from redraft.evals.evaluate_infill import evaluate_infill, summarise_infill
    from redraft.evals.infill_problems import read_problems

    if files is None and (run_tests or instruction is not None or max_tokens is not None):
        raise ConfigError("--run-tests, --instruction and --max-tokens need FILES")
    if files is None and not search:
        measure_set(
            "infill",
            model=model,
            count=count,
            seed=seed,
            autoregressive=autoregressive,
            sampler=sampler,
            stopping=stopping,
            png=png,
            as_json=as_json,
        )
        return
    if autoregressive or sampler or stopping or png:
        raise ConfigError(
            "--autoregressive, --sampler, --stopping and --png are for `redraft eval set infill`"
        )
    if files is None:
        problems = _held_out_problems(count or EXAMPLES)
    else:
        limit = max_tokens or MAX_TOKENS
        problems = read_problems(files, limit, instruction, run_tests)[:count]
    loaded = open_model(model or SETS["infill"].model)
    tables: dict[str, list[InfillRow]] = {}
    with progress_bars(len(problems)) as begin:
        for method in METHODS:
            outcomes = evaluate_infill(loaded, problems, method, seed, begin(method))
            tables[method] = summarise_infill(list(outcomes))
    if as_json:
        head: dict[str, object] = {"set": "infill", "count": len(problems), "seed": seed}
        print(json.dumps(head | to_json(tables)))
        return
    for way, rows in tables.items():
        title = f"{len(problems)} examples with holes of unknown width, {way}"
        Console().print(_table(title, rows))


def to_json(tables: Mapping[str, list[InfillRow]]) -> dict[str, object]:
    """Return the tables as `redraft eval infill --json` prints them."""
    found: dict[str, object] = {}
    for way, rows in tables.items():
        found[way] = [asdict(row) for row in rows]
    return found


def _held_out_problems(count: int) -> list[InfillProblem]:
    from redraft.evals import SETS
    from redraft.evals.infill_problems import problems_of_examples
    from redraft.tasks.task import held_out

    held = SETS["infill"]
    return problems_of_examples(held.task, held_out(held.task, count), held.bins)


def _table(title: str, rows: list[InfillRow]) -> Table:
    names = ("", "count", "exact", "95 %", "distance", "right", "steps")
    shown = Table(*names, title=title, title_justify="left")
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
