"""`redraft rewrite` and `redraft repair`: a change to a file, shown as a diff or made."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from redraft.api import Model
from redraft.cli.texts import check_replaceable, line_span, read_text, replace_text, write_text
from redraft.cli.view import printable
from redraft.cli.write import given, open_model
from redraft.editing import Infilled, Repaired
from redraft.editing.diff import unified_diff
from redraft.errors import RequestError

STYLES = {"---": "bold", "+++": "bold", "@@": "cyan", "-": "red", "+": "green"}


def rewrite(
    file: str, lines: str, instruction: str | None, path: str, seed: int | None, write: bool
) -> None:
    """Write some lines of a file anew."""
    text = read_text(file)
    span = line_span(text, lines)
    _change(
        file,
        text,
        path,
        seed,
        write,
        lambda model, options: model.rewrite(text, [span], instruction, **options),
    )


def repair(file: str, instruction: str | None, path: str, seed: int | None, write: bool) -> None:
    """Exchange what the model finds unlikely in a file."""
    text = read_text(file)
    _change(
        file,
        text,
        path,
        seed,
        write,
        lambda model, options: model.repair(text, instruction=instruction, **options),
    )


def _change(
    file: str,
    text: str,
    path: str,
    seed: int | None,
    write: bool,
    make: Callable[[Model, dict[str, Any]], Infilled | Repaired],
) -> None:
    """Make the change in the file, or show it: then the exit status is that of diff, 1 where there
    is one."""
    if write and file == "-":
        raise RequestError(
            "--write needs a file to write to: leave it out, and the change is printed"
        )
    if write:
        check_replaceable(Path(file))
    made = make(open_model(path, "auto", "auto")), given(seed=seed)
    after = made.text
    name = "text" if file == "-" else Path(file).as_posix().lstrip("/")
    diff = unified_diff(text, after, f"a/{name}", f"b/{name}")
    if seed is None:
        print(f"redraft: seed {made.seed}", file=sys.stderr)
    if write:
        if diff:
            replace_text(Path(file), text, after)
        return
    if sys.stdout.isatty():
        Console(highlight=False).print(_coloured(diff), soft_wrap=True, end="")
    else:
        write_text(diff)
    if diff:
        sys.exit(1)


def _coloured(diff: str) -> Text:
    """A diff as git colours it."""
    text = Text()
    for line in diff.splitlines(keepends=True):
        text.append(
            printable(line),
            next((style for sign, style in STYLES.items() if line.startswith(sign)), ""),
        )
    return text
