"""A changed text: printed as a diff, or written to its file."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from redraft.cli.texts import check_replaceable, read_text, replace_text, write_text
from redraft.cli.view import printable
from redraft.errors import RequestError

STYLES = {"---": "bold", "+++": "bold", "@@": "cyan", "-": "red", "+": "green"}


def read_file(file: str, write: bool) -> str:
    """Return the text of a file, or of standard input for "-".

    Args:
        write: the file is to be replaced.

    Raises:
        RequestError: it cannot be read, or could not be replaced.
    """
    text = read_text(file)
    if write and file == "-":
        raise RequestError("--write needs a file to write to: without it the change is printed")
    if write:
        check_replaceable(Path(file))
    return text


def show_change(file: str, before: str, after: str, write: bool, seed: int | None) -> None:
    """Write a change to its file, or print it as a diff.

    Args:
        seed: a seed that was drawn, to be reported; None for one that was given.

    Raises:
        SystemExit: 1, the exit status of diff, where a change was printed.
        RequestError: the file cannot be written.
    """
    from redraft.editing.diff import unified_diff

    name = "text" if file == "-" else Path(file).as_posix().lstrip("/")
    diff = unified_diff(before, after, f"a/{name}", f"b/{name}")
    if seed is not None:
        print(f"redraft: seed {seed}", file=sys.stderr)
    if write:
        if diff:
            replace_text(Path(file), before, after)
        return
    if sys.stdout.isatty():
        Console(highlight=False).print(_coloured(diff), soft_wrap=True, end="")
    else:
        write_text(diff)
    if diff:
        sys.exit(1)


def _coloured(diff: str) -> Text:
    """Return a diff in git's colours."""
    text = Text()
    for line in diff.splitlines(keepends=True):
        styles = [style for sign, style in STYLES.items() if line.startswith(sign)]
        text.append(printable(line), styles[0] if styles else "")
    return text
