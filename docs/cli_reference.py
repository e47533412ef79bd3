"""Write the commands' help into docs/reference/cli.md: `python docs/cli_reference.py`.

tests/docs/test_reference.py compares the page with what this writes.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from typer.main import get_command

from redraft.cli.app import app

PAGE = Path(__file__).parent / "reference" / "cli.md"
NAMES = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH", bool: ""}
MARKS = ("<!-- commands -->", "<!-- end of commands -->")


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each command with its path, groups before their members."""
    yield path, command
    for name, member in getattr(command, "commands", {}).items():
        yield from commands(member, (*path, name))


def section(path: tuple[str, ...], command: Any) -> str:
    """Return the Markdown of one command."""
    lines = [f"### {' '.join(path)}", "", textwrap.fill(_text(command.help), 110), "", "```text"]
    lines += [_usage(path, command), "```"]
    rows = [_row(one) for one in command.params if one.name != "help" and not one.hidden]
    if rows:
        lines += ["", "| option | value | meaning |", "| --- | --- | --- |", *rows]
    return "\n".join(lines)


def _usage(path: tuple[str, ...], command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    words = [*path, "[OPTIONS]", *(_argument(one) for one in arguments)]
    return " ".join([*words, "COMMAND"] if hasattr(command, "commands") else words)


def _argument(one: Any) -> str:
    name = (one.metavar or one.name).upper()
    many = "..." if one.nargs == -1 or one.multiple else ""
    return f"{name}{many}" if one.required else f"[{name}]{many}"


def _row(one: Any) -> str:
    if one.param_type_name == "argument":
        names, kind = f"`{_argument(one)}`", ""
    else:
        names = ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
        kind = "" if one.is_flag else f"`{_kind(one)}`"
    if getattr(one, "multiple", False):
        kind += " ..."
    notes = [] if one.param_type_name == "argument" or not one.required else ["Required."]
    if one.show_default and one.default not in (None, False, ()) and not callable(one.default):
        notes.append(f"Default: `{one.default}`.")
    meaning = " ".join([_text(getattr(one, "help", None)), *notes])
    return f"| {names} | {kind} | {meaning.strip()} |"


def _kind(one: Any) -> str:
    if one.metavar:
        return str(one.metavar)
    kind = one.type_descriptor.annotation
    (kind,) = [part for part in get_args(kind) if part is not NoneType] or [kind]
    bounds = [("from", one.min), ("to", one.max)]
    limits = [f"{word} {limit}" for word, limit in bounds if limit is not None]
    return " ".join([NAMES[kind], *limits])


def _text(words: str | None) -> str:
    """Return help in one line: no markup of the terminal, nothing that Markdown would read."""
    plain = re.sub(r"\[/?(bold|dim|green|red|yellow|cyan)\]", "", words or "")
    return " ".join(plain.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def page(text: str) -> str:
    """Return the page with the commands of today between its marks."""
    root = get_command(app)
    parts = [section(path, one) for path, one in commands(root, ("redraft",))]
    start, end = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
    return text[:start] + "\n\n" + "\n\n".join(parts) + "\n\n" + text[end:]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE}")
