"""The command line, put together from one file for each command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, cast

import typer

from redraft import __version__
from redraft.cli.batch import batch
from redraft.cli.bench import bench
from redraft.cli.chat import chat
from redraft.cli.convert import convert
from redraft.cli.demo import demo
from redraft.cli.doctor import doctor
from redraft.cli.eval import app as eval_app
from redraft.cli.finetune import finetune
from redraft.cli.generate import generate
from redraft.cli.help import add_command, is_wide
from redraft.cli.infill import infill
from redraft.cli.inspect import inspect
from redraft.cli.logs import logs
from redraft.cli.merge import merge
from redraft.cli.models import models, pull
from redraft.cli.plan import plan
from redraft.cli.play import play
from redraft.cli.quantize import quantize
from redraft.cli.repair import repair
from redraft.cli.rewrite import rewrite
from redraft.cli.serve import serve
from redraft.cli.sudoku import sudoku
from redraft.cli.train import train
from redraft.cli.tune import tune
from redraft.errors import RedraftError

# Other names of options, older ones among them, which are accepted and not shown.
OLD_NAMES = {
    "geometry": "preset",
    "line": "lines",
    "max-tokens": "max-new-tokens",
    "typewriter": "autoregressive",
    "no-typewriter": "no-autoregressive",
}
# In the order of the help.
COMMANDS: list[Callable[..., None]] = [
    generate,
    chat,
    infill,
    rewrite,
    repair,
    sudoku,
    demo,
    play,
    serve,
    batch,
    plan,
    bench,
    tune,
    models,
    pull,
    doctor,
    logs,
    inspect,
    quantize,
    convert,
    train,
    finetune,
    merge,
]
# The turns that a waiting thread spins before it sleeps. Long enough for the next small product, so
# that two threads are nearly twice as fast as one; short enough that a busy neighbour costs little,
# where endless spinning costs it a hundredfold.
SPIN_COUNT = "10000"
# Read when torch loads. oneDNN keeps a compiled product, 0.6 MB of it, for every shape that it has
# seen, a thousand of them, in two caches. A few steps need about forty, and texts of all lengths
# never come to an end of new ones. Texts are tokenized one at a time: threads would be no help.
ENVIRONMENT = {
    "LRU_CACHE_CAPACITY": "128",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
    "TOKENIZERS_PARALLELISM": "false",
}
# A shell that completes a command line sets it, and gives no arguments.
COMPLETION = "_REDRAFT_COMPLETE"
# What `redraft` says without a command.
FIRST_STEPS = """\
redraft writes, fills in and edits text by diffusion, on this machine.

  redraft demo                       see it at work, in a quarter of a minute
  redraft generate "calc 17+25-03"   write with a small model that ships with it
  redraft play                       the same in your browser, step by step

  redraft --help                     all commands"""
# The base class of all errors in arguments, of which typer exports a subclass only.
UsageError = cast(type[typer.BadParameter], typer.BadParameter.__base__)


def current_name(option: str) -> str:
    """Return the name of an option, given without its dashes, that replaced an older name."""
    return OLD_NAMES.get(option, option)


app = typer.Typer(
    name="redraft",
    help="DiffusionGemma as software: text that is drafted whole and corrected until it settles.",
    context_settings={"token_normalize_func": current_name},
    rich_markup_mode="rich" if is_wide() else None,
    add_completion=True,
    pretty_exceptions_enable=False,
)
for command in COMMANDS:
    add_command(app, command)
app.add_typer(eval_app, name="eval")


def main() -> None:
    """Run the command line.

    An error that a user can put right is one line on stderr and exit status 2.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT  # read when torch loads
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _open_closed_streams()
    try:
        if len(sys.argv) < 2 and COMPLETION not in os.environ:
            print(FIRST_STEPS)
            sys.exit(0)
        sys.exit(app(sys.argv[1:], prog_name="redraft", standalone_mode=False))
    except UsageError as error:
        place = error.ctx.command_path if error.ctx else "redraft"
        message = error.format_message().rstrip(".")
        problem = f"{message[:1].lower()}{message[1:]}: see {place} --help"
    except RedraftError as error:
        problem = str(error)
    except OSError as error:  # a full disk, a folder that cannot be written
        place = error.filename or "the output"
        problem = f"{place} cannot be read or written: {error.strerror or error}"
        _drop_output()
    print(f"redraft: {problem}", file=sys.stderr)
    sys.exit(2)


def _open_closed_streams() -> None:
    """Open what was closed before the start, as /dev/null: nobody reads it, and all may write."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_WRONLY)
            if null != descriptor:
                os.dup2(null, descriptor)
            setattr(sys, name, os.fdopen(descriptor, "w", encoding="utf-8"))


def _drop_output() -> None:
    """Drop what is left to write: at its end the interpreter would try again, and fail again."""
    with suppress(OSError):
        sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"redraft {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass
