"""The command line: options in, calls out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from redraft import __version__
from redraft.cli.measure import evaluate
from redraft.errors import ConfigError, RedraftError

app = typer.Typer(
    name="redraft",
    help="DiffusionGemma as software: text that is drafted whole and corrected until it settles.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ModelOption = Annotated[str, typer.Option("--model", "-m", help="Checkpoint: a folder, a GGUF file, or a hub id.")]
SmallOption = Annotated[
    str, typer.Option("--model", "-m", help="Checkpoint: a folder, a hub id, or small, the one that ships with redraft.")
]
TextOption = Annotated[str, typer.Option("--model", "-m", help="Checkpoint: a folder, a hub id, or small-text.")]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", help="A checkpoint: a folder or a hub id; again for another. Both small ones."),
]
SpeechOption = Annotated[
    str | None, typer.Option(help="What hears: a whisper model (folder or hub id), or http://.../v1 of a server that does.")
]
InstructionOption = Annotated[
    str | None, typer.Option("--instruction", "-i", help="What is asked for; the text is then the answer.")
]
WriteOption = Annotated[bool, typer.Option("--write", help="Make the change in the file instead; exit status 0.")]
SeedOption = Annotated[int | None, typer.Option(help="Same seed, same text. Without one, a seed is drawn and told.")]
DtypeOption = Annotated[str, typer.Option(help="auto, float32, bfloat16, float16; or int8, int4, fp8: few bits.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
SchemaOption = Annotated[str | None, typer.Option("--json-schema", metavar="FILE", help="JSON that this schema admits.")]
RegexOption = Annotated[str | None, typer.Option("--regex", metavar="PATTERN", help="What matches this as a whole.")]
ChoiceOption = Annotated[list[str] | None, typer.Option("--choice", metavar="A,B", help="One of these; may be repeated.")]
GrammarOption = Annotated[
    str | None, typer.Option("--grammar", metavar="FILE", help="What this grammar (Lark's EBNF) derives.")
]
LengthOption = Annotated[int | None, typer.Option("--max-new-tokens", help="Tokens written at most.")]


# Turns that a waiting thread spins before it sleeps: long enough for the next small product, so that two threads are nearly
# twice as fast as one; short enough that a busy neighbour costs little, where endless spinning costs it a hundredfold.
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
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


@app.command()
def generate(
    model: ModelOption,
    prompt: Annotated[str | None, typer.Option("--prompt", "-p", help="What to write; - reads standard input.")] = None,
    raw: Annotated[bool, typer.Option(help="Continue the prompt as plain text instead of answering it.")] = False,
    typewriter: Annotated[bool, typer.Option(help="Write left to right with the same weights.")] = False,
    max_new_tokens: LengthOption = None,
    seed: SeedOption = None,
    option: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="NAME=VALUE", help="Any other setting, e.g. -s top_p=0.9.")
    ] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End the text before this string; may be repeated.")] = None,
    json_schema: SchemaOption = None,
    regex: RegexOption = None,
    choice: ChoiceOption = None,
    grammar: GrammarOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of showing the text.")] = False,
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
    )
    write(job, job.settings(option or [], max_new_tokens=max_new_tokens, seed=seed, stop=tuple(stop) if stop else None))


@app.command()
def chat(
    model: ModelOption,
    system: Annotated[str | None, typer.Option(help="A system message in front of the conversation.")] = None,
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
    format: Annotated[str | None, typer.Option(help="Plan for weights in int8, int4 or fp8.")] = None,
    group: Annotated[int, typer.Option(help="Columns that share a scale, for int4.")] = 64,
    embedding: Annotated[str | None, typer.Option(help="int8, or nothing: it stays whole.")] = None,
    tensors: Annotated[bool, typer.Option(help="List every tensor.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show a checkpoint's shape, its memory by part, and what would hold it, without loading it."""
    from redraft.checkpoint import Quantization
    from redraft.cli.inspect import Planned, describe

    quantization = None if format is None else Quantization(format, group, embedding)
    describe(model, geometry, Planned(context, batch, dtype, quantization), list_tensors=tensors, as_json=json)


@app.command()
def serve(
    model: ModelsOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on; other machines reach 0.0.0.0.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
    name: Annotated[str | None, typer.Option(help="What the model is called in requests.")] = None,
    api_key_file: Annotated[Path | None, typer.Option(help="A key that callers must give; else $REDRAFT_API_KEY.")] = None,
    batch: Annotated[int, typer.Option(help="Texts written at a time.", min=1)] = 8,
    waiting: Annotated[int, typer.Option(help="Requests that may wait besides.", min=0)] = 64,
    memory: Annotated[
        float | None, typer.Option(help="GiB for caches and passes, beside the weights; nearly all that is free.", min=0.001)
    ] = None,
    prefix_cache: Annotated[
        float | None, typer.Option(help="GiB of that for known beginnings of prompts; a quarter, at most 4.", min=0)
    ] = None,
    state: Annotated[Path | None, typer.Option(help="File that keeps edits and pages; without it they end here.")] = None,
    speech: SpeechOption = None,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Serve OpenAI's API: chat, completions (with a suffix: filled in), structured output, tools, streams."""
    _serve(
        models=model or [], name=name, host=host, port=port, key_file=api_key_file, state=state, dtype=dtype, device=device,
        batch=batch, waiting=waiting, memory=memory, prefix_cache=prefix_cache, speech=speech,
    )  # fmt: skip


@app.command()
def play(
    model: ModelsOption = None,
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
    state: Annotated[Path | None, typer.Option(help="File that keeps edits and pages; one of yours unless given.")] = None,
    speech: SpeechOption = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Watch text settle, edit in place, solve Sudokus, browse a wiki that is written as you go: a page in your browser."""
    if state is None:
        state = Path(typer.get_app_dir("redraft")) / "play.db"
        state.parent.mkdir(parents=True, exist_ok=True)
    _serve(
        models=model or [], name=None, host="127.0.0.1", port=port, key_file=None, state=state, dtype=dtype, device=device,
        batch=8, waiting=64, memory=None, prefix_cache=None, speech=speech, browser=browser, keyless=True,
    )  # fmt: skip


def _serve(**asked: Any) -> None:
    try:
        from redraft.cli.serve import Asked, run
    except ImportError as error:
        raise ConfigError(f"serving needs more packages: pip install 'redraft[serve]' ({error})") from None

    run(Asked(**asked))


@app.command()
def demo() -> None:
    """Watch a small model write, by diffusion and as a typewriter; needs nothing but this package."""
    from redraft.cli.demo import run

    run()


@app.command()
def quantize(
    model: Annotated[str, typer.Argument(help="Checkpoint: a folder, or a hub id.")],
    out: Annotated[Path, typer.Argument(help="The folder that is written.")],
    to: Annotated[str, typer.Option("--to", help="int8, int4 or fp8.")],
    group: Annotated[int, typer.Option(help="Columns that share a scale, for int4: 32, 64 or 128.")] = 64,
    embedding: Annotated[str | None, typer.Option(help="int8, or nothing: it stays whole.")] = None,
) -> None:
    """Write a copy of a checkpoint in few bits, tensor by tensor; interrupted, the same command goes on."""
    from redraft.checkpoint import Quantization
    from redraft.cli.quantize import run

    run(model, out, Quantization(to, group, embedding))


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a TOML file.")],
    folder: Annotated[Path, typer.Option("--out", "-o", help="The run's folder: state, metrics, checkpoint.")],
    minutes: Annotated[float | None, typer.Option(help="Stop after so long; the same command goes on from there.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    processes: Annotated[int, typer.Option(help="Processes of one thread that share every batch.", min=1)] = 1,
    steps: Annotated[int | None, typer.Option(help="Updates, in place of the recipe's own number.", min=1)] = None,
    typewriter: Annotated[bool, typer.Option(help="Train left to right only, for comparison.")] = False,
    start: Annotated[
        str | None, typer.Option("--from", help="A checkpoint to begin with, in place of the recipe's own.")
    ] = None,
) -> None:
    """Train a model by a recipe, from nothing or from another's weights; interrupted, it goes on where it stopped."""
    from redraft.cli.train import run

    run(recipe, folder, minutes, threads, processes, steps, typewriter, start)


@app.command()
def sudoku(
    puzzle: Annotated[str, typer.Argument(help="81 cells (0 or . for a blank), a file with a puzzle a line, or -.")],
    model: SmallOption = "small",
    attempts: Annotated[int, typer.Option(help="Seeds tried at once; the first solution by the rules is taken.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line and puzzle.")] = False,
) -> None:
    """Solve Sudokus by diffusion and check them by the rules; exit status 1 where one stays unsolved."""
    from redraft.cli.sudoku import run

    run(puzzle, model, attempts, seed, json)


@app.command()
def infill(
    text: Annotated[str | None, typer.Argument(metavar="FILE", help="A text with <hole> marks, or -.")] = None,
    template: Annotated[str | None, typer.Option(metavar="FILE", help="The same as FILE.")] = None,
    line: Annotated[str | None, typer.Option(metavar="A-B", help="Lines of FILE to fill in anew, in place of marks.")] = None,
    prefix: Annotated[str | None, typer.Option(help="The text before the one hole; - reads standard input.")] = None,
    suffix: Annotated[str | None, typer.Option(help="The text behind it; - reads standard input.")] = None,
    model: TextOption = "small-text",
    instruction: InstructionOption = None,
    candidates: Annotated[int, typer.Option(help="Widths of the holes tried at once.", min=1)] = 6,
    max_tokens: Annotated[int, typer.Option(help="Tokens in a hole at most.", min=1)] = 24,
    json_schema: SchemaOption = None,
    regex: RegexOption = None,
    choice: ChoiceOption = None,
    grammar: GrammarOption = None,
    seed: SeedOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with all candidates.")] = False,
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
    """Write lines of a file anew, and print the change as a diff; exit status 1 where there is one."""
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
    """Exchange what the model finds unlikely in a file, and print the change as a diff; exit status 1 where there is one."""
    from redraft.cli import change

    change.repair(file, instruction, model, seed, write)


app.command("eval")(evaluate)
