"""`redraft eval` on the command line: options in, one of its three measurements out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redraft.errors import ConfigError

OF_TWO = "Options of divergence"


def evaluate(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SET",
            help="sudoku, arithmetic, infill, rewrite, edits or wiki; or divergence, of A and B.",
        ),
    ],
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILES|A B]",
            help="infill: a .jsonl(.gz) of HumanEval infilling, or a folder of them, in place of the set. "
            "divergence: two checkpoints, or one and --quantize.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Checkpoint; unless given, the shipped model that knows the set."
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            help="Examples at most; 200 of a set (divergence: 50 each), all of FILES.", min=1
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 0,
    attempts: Annotated[
        int, typer.Option(help="Seeds tried where the rules say no, told apart (sudoku).", min=1)
    ] = 1,
    typewriter: Annotated[
        str | None, typer.Option(help="A checkpoint trained left to right only, for comparison.")
    ] = None,
    sampler: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare samplers: a name with options, such as klass or confidence:threshold=0.9; "
            "may be repeated."
        ),
    ] = None,
    stopping: Annotated[
        list[str] | None,
        typer.Option(help="Compare stopping criteria, by name; may be repeated."),
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Write the table as a picture too.")] = None,
    search: Annotated[
        bool,
        typer.Option("--search", help="infill: holes of unknown width, their length searched."),
    ] = False,
    max_tokens: Annotated[
        int | None, typer.Option(help="infill FILES: tokens in a hole at most, 64.", min=1)
    ] = None,
    instruction: Annotated[
        str | None,
        typer.Option(
            "--instruction",
            "-i",
            help="infill FILES: what is asked for; the text is then the answer.",
        ),
    ] = None,
    run_tests: Annotated[
        bool,
        typer.Option(
            "--run-tests",
            help="infill FILES: run what the model wrote, with limits of time and memory.",
        ),
    ] = False,
    quantize: Annotated[
        str | None,
        typer.Option(help="B is A in this format: int8, int4 or fp8.", rich_help_panel=OF_TWO),
    ] = None,
    group: Annotated[
        int | None,
        typer.Option(
            help="Columns that share a scale in int4: 32, 64 or 128; 64.", rich_help_panel=OF_TWO
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="Prompts, one a line, or a .jsonl of messages; unless given, held-out examples that a shipped model knows, "
            "and a dozen prompts for others.",
            rich_help_panel=OF_TWO,
        ),
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Tokens written at most.", rich_help_panel=OF_TWO)
    ] = None,
    same_signal: Annotated[
        bool,
        typer.Option(
            "--same-signal",
            help="B hears A's self-conditioning: what one pass does alone.",
            rich_help_panel=OF_TWO,
        ),
    ] = False,
    batch: Annotated[
        int, typer.Option(help="Canvases at a time.", min=1, rich_help_panel=OF_TWO)
    ] = 8,
    dtype: Annotated[
        str, typer.Option(help="auto, float32, bfloat16 or float16.", rich_help_panel=OF_TWO)
    ] = "auto",
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, ...", rich_help_panel=OF_TWO)
    ] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a model on a held-out set, by difficulty, by diffusion and as a typewriter; or how
    far one is from another."""
    paths = paths or []
    of_files = run_tests or instruction is not None or max_tokens is not None
    if name == "divergence":
        if model or attempts > 1 or typewriter or search or of_files or sampler or stopping:
            raise ConfigError(
                "divergence takes A, B and its own options, --count, --seed, --png and --json: no others"
            )
        from redraft.cli import eval_divergence

        asked = eval_divergence.Asked(
            paths=tuple(paths), quantize=quantize, group=group, prompts=prompts, count=count, seed=seed,
            max_new_tokens=max_new_tokens, same_signal=same_signal, batch=batch, dtype=dtype, device=device,
        )  # fmt: skip
        eval_divergence.run(asked, png, json)
        return
    if (
        quantize
        or group
        or prompts
        or max_new_tokens
        or same_signal
        or (batch, dtype, device) != (8, "auto", "auto")
    ):
        names = "--quantize, --group, --prompts, --max-new-tokens, --same-signal, --batch, --dtype and --device"
        raise ConfigError(f"{names} are for divergence")
    if not paths and of_files:
        raise ConfigError("--run-tests, --instruction and --max-tokens are for infill with FILES")
    if sampler or stopping:
        if paths or search or attempts > 1 or typewriter or png:
            raise ConfigError(
                "--sampler and --stopping take a set, --model, --count, --seed and --json: no others"
            )
        from redraft.cli import eval_strategies

        eval_strategies.run(
            name, model, samplers=sampler or [], stopping=stopping or [], count=count, seed=seed,
            as_json=json,
        )  # fmt: skip
        return
    if paths or search:
        if name != "infill" or len(paths) > 1 or attempts > 1 or typewriter or png:
            raise ConfigError(
                "FILES and --search are for infill, without --attempts, --typewriter and --png"
            )
        from redraft.cli import eval_infill

        eval_infill.run(
            Path(paths[0]) if paths else None, model, count=count, seed=seed, most=max_tokens or 64,
            instruction=instruction, run_tests=run_tests, as_json=json,
        )  # fmt: skip
        return
    from redraft.cli.eval import run

    run(name, model, count, seed, attempts, typewriter, png, json)
