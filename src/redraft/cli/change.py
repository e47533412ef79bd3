"""`redraft rewrite` and `redraft repair`: a change to a file, shown as a diff or made."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.syntax import Syntax

from redraft.cli.texts import check_replaceable, line_span, read_text, replace_text, write_text
from redraft.cli.view import printable
from redraft.cli.write import open_model
from redraft.editing import Model
from redraft.editing.diff import unified_diff
from redraft.errors import RequestError


def rewrite(file: str, lines: str, instruction: str | None, path: str, seed: int | None, write: bool) -> None:
    """Write some lines of a file anew."""
    text = read_text(file)
    span = line_span(text, lines)
    _change(file, text, path, seed, write, lambda model, options: model.rewrite(text, [span], instruction, **options).text)


def repair(file: str, instruction: str | None, path: str, seed: int | None, write: bool) -> None:
    """Exchange what the model finds unlikely in a file."""
    text = read_text(file)
    repaired = lambda model, options: model.repair(text, instruction=instruction, **options).text  # noqa: E731
    _change(file, text, path, seed, write, repaired)


def _change(
    file: str, text: str, path: str, seed: int | None, write: bool, make: Callable[[Model, dict[str, Any]], str]
) -> None:
    """Make the change in the file, or show it: then the exit status is that of diff, 1 where there is one."""
    if write and file == "-":
        raise RequestError("--write needs a file to write to: leave it out, and the change is printed")
    if write:
        check_replaceable(Path(file))
    options = {} if seed is None else {"seed": seed}
    after = make(Model.of(open_model(path, "auto", "auto")), options)
    name = "text" if file == "-" else Path(file).as_posix().lstrip("/")
    diff = unified_diff(text, after, f"a/{name}", f"b/{name}")
    if write:
        if diff:
            replace_text(Path(file), text, after)
        return
    if sys.stdout.isatty():
        Console().print(Syntax(printable(diff), "diff", theme="ansi_dark", background_color="default"))
    else:
        write_text(diff)
    if diff:
        sys.exit(1)
