"""Help texts: from the docstring of a command to its --help."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable

import typer

MIN_RICH_COLUMNS = 80


def is_wide() -> bool:
    """Return True where the terminal has the width for the columns of the rich help.

    On a narrower one the plain help is easier to read.
    """
    return shutil.get_terminal_size().columns >= MIN_RICH_COLUMNS


def add_command(app: typer.Typer, command: Callable[..., None], name: str | None = None) -> None:
    """Add a command with its docstring as help, each paragraph on one line: the help wraps it."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    app.command(name, help=text)(command)
