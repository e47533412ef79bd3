"""`redraft logs`: prompts and answers that were kept, where that is switched on."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Annotated

import typer

from redraft.cli.log_book import LogBook, LogEntry
from redraft.cli.options import JsonOption
from redraft.errors import ConfigError

ACTIONS = ("list", "on", "off", "clear", "path")


def logs(
    action: Annotated[
        str,
        typer.Argument(
            help="list the newest; on or off; clear forgets all entries; path prints the file's.",
        ),
    ] = "list",
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, help="How many of the newest are listed.")
    ] = 10,
    search: Annotated[
        str,
        typer.Option(
            "--search", "-q", help="List those with this text in them alone.", show_default=False
        ),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Keep prompts and answers of generate and chat, and list them.

    Nothing is kept before "redraft logs on". The file is readable by you alone. REDRAFT_LOGS names
    another one.
    """
    book = LogBook()
    if action not in ACTIONS:
        raise ConfigError(f"redraft logs {action}: give one of {', '.join(ACTIONS)}")
    if action == "path":
        print(book.path)
    elif action == "clear":
        print(f"{book.clear()} entries are forgotten")
    elif action in ("on", "off"):
        book.switch(writes=action == "on")
        kept = "are kept in" if action == "on" else "are not kept any more in"
        print(f"prompts and answers {kept} {book.path}")
    else:
        _list(book, count, search, as_json=as_json)


def _list(book: LogBook, count: int, search: str, *, as_json: bool) -> None:
    found = book.newest(count, search)
    if as_json:
        print(json.dumps([asdict(entry) for entry in found], ensure_ascii=False))
        return
    for entry in found:
        print(_shown(entry), end="\n\n")
    if not found:
        state = "on" if book.writes else 'off: "redraft logs on" switches it on'
        print(f"no entries; the log is {state}")


def _shown(entry: LogEntry) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.time))
    figures = f"{entry.new_tokens} tokens in {entry.steps} steps, seed {entry.seed}"
    prompt = "\n".join(f"> {line}" for line in entry.prompt.splitlines() or [""])
    return f"{when}  {entry.command}  {entry.model}  ({figures})\n{prompt}\n{entry.answer}"
