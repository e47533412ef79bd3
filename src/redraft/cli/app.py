"""The command line: options in, calls out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from redraft import __version__
from redraft.cli.measure import evaluate
from redraft.cli.options import (
    ChoiceOption,
    DeviceOption,
    DtypeOption,
    GrammarOption,
    InstructionOption,
    LengthOption,
    ModelOption,
    RegexOption,
    SamplerOption,
    SchemaOption,
    SeedOption,
    SmallOption,
    StoppingOption,
    TextOption,
    WriteOption,
)
from redraft.cli.serving import play, serve
from redraft.errors import RedraftError

app = typer.Typer(
    name="redraft",
    help="DiffusionGemma as software: text that is drafted whole and corrected until it settles.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# Turns that a waiting thread spins before it sleeps: long enough for the next small product, so
# that two threads are nearly # twice as fast as one; short enough that a busy neighbour costs
# little, where endless spinning costs it a hundredfold.
WAITING = "10000"


def main() -> None:
    """Run the command line; what a user can put right is one line on stderr and exit status 2."""
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = WAITING  # read when torch loads
    try:
        app(standalone_mode=True)
    except RedraftError as error:
        print(f"redraft: {error}", file=sys.stderr)
        sys.exit(2)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"redraft {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def generate(
    model: ModelOption,
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", help="What to write; - reads standard input.")
    ] = None,
    raw: Annotated[
        bool, typer.Option(help="Continue the prompt as plain text instead of answering it.")
    ] = False,
    typewriter: Annotated[
        bool, typer.Option(help="Write left to right with the same weights.")
    ] = False,
    max_new_tokens: LengthOption = None,
    seed: SeedOption = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "-s", metavar="NAME=VALUE", help="Any other setting, e.g. -s top_p=0.9."
        ),
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="End the text before this string; may be repeated.")
    ] = None,
    sampler: SamplerOption = None,
    stopping: StoppingOption = None,
    json_schema: SchemaOption = None,
    regex: RegexOption = None,
    choice: ChoiceOption = None,
    grammar: GrammarOption = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of showing the text.")
    ] = False,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Write one text, and show its drafts as they settle."""
    from redraft.cli.constraints import Wanted
    from redraft.cli.write import Job, write

    job = Job(
        model=model,
        prompt=prompt,
        raw=raw,
        typewriter=typewriter,
        json=json,
        dtype=dtype,
        device=device,
        constraint=Wanted(json_schema, regex, choice, grammar).constraint(),
        sampler=sampler,
        stopping=stopping,
    )
    write(
        job,
        job.settings(
            option or [],
            max_new_tokens=max_new_tokens,
            seed=seed,
            stop=tuple(stop) if stop else None,
        ),
    )


@app.command()
def chat(
    model: ModelOption,
    system: Annotated[
        str | None, typer.Option(help="A system message in front of the conversation.")
    ] = None,
    max_new_tokens: LengthOption = None,
    seed: SeedOption = None,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Talk to a model. /reset forgets, /quit or end of input leaves, Ctrl-C stops an answer."""
    from redraft.cli.chat import talk
    from redraft.cli.write import given, open_model

    talk(open_model(model, dtype, device), system, given(max_new_tokens=max_new_tokens, seed=seed))


@app.command()
def inspect(
    model: Annotated[str | None, typer.Argument(help="Checkpoint: a folder, or a hub id.")] = None,
    geometry: Annotated[str | None, typer.Option(help="A released shape instead: 26b.")] = None,
    context: Annotated[int, typer.Option(help="Tokens of context to plan for.", min=1)] = 4096,
    batch: Annotated[int, typer.Option(help="Texts written at a time.", min=1)] = 1,
    dtype: DtypeOption = "auto",
    format: Annotated[
        str | None, typer.Option(help="Plan for weights in int8, int4 or fp8.")
    ] = None,
    group: Annotated[int, typer.Option(help="Columns that share a scale, for int4.")] = 64,
    embedding: Annotated[str | None, typer.Option(help="int8, or nothing: it stays whole.")] = None,
    tensors: Annotated[bool, typer.Option(help="List every tensor.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show a checkpoint's shape, its memory by part, and what would hold it, without loading it."""
    from redraft.checkpoint import Quantization
    from redraft.cli.inspect import Planned, describe

    quantization = None if format is None else Quantization(format, group, embedding)
    describe(
        model,
        geometry,
        Planned(context, batch, dtype, quantization),
        list_tensors=tensors,
        as_json=json,
    )


app.command()(serve)
app.command()(play)


@app.command()
def demo() -> None:
    """Watch a small model write, by diffusion and as a typewriter; needs nothing but this
    package."""
    from redraft.cli.demo import run

    run()


@app.command()
def quantize(
    model: Annotated[str, typer.Argument(help="Checkpoint: a folder, or a hub id.")],
    out: Annotated[Path, typer.Argument(help="The folder that is written.")],
    to: Annotated[str, typer.Option("--to", help="int8, int4 or fp8.")],
    group: Annotated[
        int, typer.Option(help="Columns that share a scale, for int4: 32, 64 or 128.")
    ] = 64,
    embedding: Annotated[str | None, typer.Option(help="int8, or nothing: it stays whole.")] = None,
) -> None:
    """Write a copy of a checkpoint in few bits, tensor by tensor; interrupted, the same command
    goes on."""
    from redraft.checkpoint import Quantization
    from redraft.cli.quantize import run

    run(model, out, Quantization(to, group, embedding))


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a TOML file.")],
    folder: Annotated[
        Path, typer.Option("--out", "-o", help="The run's folder: state, metrics, checkpoint.")
    ],
    minutes: Annotated[
        float | None, typer.Option(help="Stop after so long; the same command goes on from there.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    processes: Annotated[
        int, typer.Option(help="Processes of one thread that share every batch.", min=1)
    ] = 1,
    steps: Annotated[
        int | None, typer.Option(help="Updates, in place of the recipe's own number.", min=1)
    ] = None,
    typewriter: Annotated[
        bool, typer.Option(help="Train left to right only, for comparison.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option("--from", help="A checkpoint to begin with, in place of the recipe's own."),
    ] = None,
) -> None:
    """Train a model by a recipe, from nothing or from another's weights; interrupted, it goes on
    where it stopped."""
    from redraft.cli.train import run

    run(recipe, folder, minutes, threads, processes, steps, typewriter, start)


@app.command()
def sudoku(
    puzzle: Annotated[
        str,
        typer.Argument(help="81 cells (0 or . for a blank), a file with a puzzle a line, or -."),
    ],
    model: SmallOption = "small",
    attempts: Annotated[
        int,
        typer.Option(help="Seeds tried at once; the first solution by the rules is taken.", min=1),
    ] = 1,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 0,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line and puzzle.")
    ] = False,
) -> None:
    """Solve Sudokus by diffusion and check them by the rules; exit status 1 where one stays
    unsolved."""
    from redraft.cli.sudoku import run

    run(puzzle, model, attempts, seed, json)


@app.command()
def infill(
    text: Annotated[
        str | None, typer.Argument(metavar="FILE", help="A text with <hole> marks, or -.")
    ] = None,
    template: Annotated[str | None, typer.Option(metavar="FILE", help="The same as FILE.")] = None,
    line: Annotated[
        str | None,
        typer.Option(metavar="A-B", help="Lines of FILE to fill in anew, in place of marks."),
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="The text before the one hole; - reads standard input.")
    ] = None,
    suffix: Annotated[
        str | None, typer.Option(help="The text behind it; - reads standard input.")
    ] = None,
    model: TextOption = "small-text",
    instruction: InstructionOption = None,
    candidates: Annotated[int, typer.Option(help="Widths of the holes tried at once.", min=1)] = 6,
    max_tokens: Annotated[int, typer.Option(help="Tokens in a hole at most.", min=1)] = 24,
    json_schema: SchemaOption = None,
    regex: RegexOption = None,
    choice: ChoiceOption = None,
    grammar: GrammarOption = None,
    seed: SeedOption = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, with all candidates.")
    ] = False,
) -> None:
    """Fill the holes of a text from both sides; all else comes back as it was."""
    from redraft.cli.constraints import Wanted
    from redraft.cli.infill import Source, run
    from redraft.editing import Hole

    source = Source(text, template, line, prefix, suffix)
    hole = Hole(1, max_tokens, Wanted(json_schema, regex, choice, grammar).constraint())
    run(source, model, instruction, hole, candidates=candidates, seed=seed, as_json=json)


@app.command()
def rewrite(
    file: Annotated[str, typer.Argument(help="A text, or -.")],
    lines: Annotated[str, typer.Option(metavar="A-B", help="The lines to write anew.")],
    model: TextOption = "small-text",
    instruction: InstructionOption = None,
    seed: SeedOption = None,
    write: WriteOption = False,
) -> None:
    """Write lines of a file anew, and print the change as a diff; exit status 1 where there is
    one."""
    from redraft.cli import change

    change.rewrite(file, lines, instruction, model, seed, write)


@app.command()
def repair(
    file: Annotated[str, typer.Argument(help="A text, or -.")],
    model: TextOption = "small-text",
    instruction: InstructionOption = None,
    seed: SeedOption = None,
    write: WriteOption = False,
) -> None:
    """Exchange what the model finds unlikely in a file, and print the change as a diff; exit status
    1 where there is one."""
    from redraft.cli import change

    change.repair(file, instruction, model, seed, write)


app.command("eval")(evaluate)
