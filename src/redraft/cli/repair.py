"""`redraft repair`: likelier tokens in the place of unlikely ones."""

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
from redraft.cli.texts import plain_line_ends, with_line_ends


def repair(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A text, or - for standard input.")],
    model: ModelOption = "small-text",
    instruction: InstructionOption = None,
    seed: SeedOption = None,
    sampler: SamplerOption = None,
    stopping: StoppingOption = None,
    write: WriteOption = False,
    force: ForceOption = False,
) -> None:
    """Replace unlikely tokens, and print a diff.

    Likelier tokens replace them. Exit status 1: the diff is not empty.
    """
    text = read_file(file, write)
    plain, line_end = plain_line_ends(text)
    strategies = checked_strategies(sampler, stopping)
    loaded = open_model(model)
    check_familiar(loaded, model, write=write, force=force, prompt=plain)
    result = loaded.repair(plain, instruction=instruction, **strategies, **given(seed=seed))
    after = with_line_ends(result.text, line_end)
    show_change(file, text, after, write, None if seed is not None else result.seed)
