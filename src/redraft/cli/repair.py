"""`redraft repair`: likelier tokens in the place of unlikely ones."""

from __future__ import annotations

from typing import Annotated

import typer

from redraft.cli.changes import read_file, show_change
from redraft.cli.options import InstructionOption, ModelOption, SeedOption, WriteOption, given
from redraft.cli.progress import open_model


def repair(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A text, or - for standard input.")],
    model: ModelOption = "small-text",
    instruction: InstructionOption = None,
    seed: SeedOption = None,
    write: WriteOption = False,
) -> None:
    """Replace unlikely tokens, and print a diff.

    Likelier tokens replace them. Exit status 1: the diff is not empty.
    """
    text = read_file(file, write)
    result = open_model(model).repair(text, instruction=instruction, **given(seed=seed))
    show_change(file, text, result.text, write, None if seed is not None else result.seed)
