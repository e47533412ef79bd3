"""`redraft rewrite`: new lines in a file."""

from __future__ import annotations

from typing import Annotated

import typer

from redraft.cli.changes import read_file, show_change
from redraft.cli.familiar import check_familiar
from redraft.cli.options import (
    ForceOption,
    InstructionOption,
    ModelOption,
    SamplerOption,
    SeedOption,
    StoppingOption,
    WriteOption,
    checked_strategies,
    given,
)
from redraft.cli.progress import open_model
from redraft.cli.texts import line_span, plain_line_ends, with_line_ends


def rewrite(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A text, or - for standard input.")],
    lines: Annotated[str, typer.Option(metavar="A-B", help="The lines to rewrite.")],
    model: ModelOption = "small-text",
    instruction: InstructionOption = None,
    seed: SeedOption = None,
    sampler: SamplerOption = None,
    stopping: StoppingOption = None,
    write: WriteOption = False,
    force: ForceOption = False,
) -> None:
    """Rewrite lines of a file, and print a diff.

    Exit status 1: the diff is not empty.
    """
    text = read_file(file, write)
    plain, line_end = plain_line_ends(text)
    span = line_span(plain, lines)
    strategies = checked_strategies(sampler, stopping)
    loaded = open_model(model)
    check_familiar(loaded, model, write=write, force=force, prompt=plain)
    result = loaded.rewrite(plain, [span], instruction, **strategies, **given(seed=seed))
    after = with_line_ends(result.text, line_end)
    show_change(file, text, after, write, None if seed is not None else result.seed)
