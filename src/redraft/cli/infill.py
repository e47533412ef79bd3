"""`redraft infill`: fill the holes of a text."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.text import Text

from redraft.cli.view import printable
from redraft.cli.write import open_model
from redraft.editing import Infilled, Model, Template
from redraft.errors import RequestError


def run(given: str, path: str, instruction: str | None, candidates: int, seed: int | None, as_json: bool) -> None:
    """Fill what FILE or standard input holds, and print it: plainly into a pipe, with the fillings marked on a terminal."""
    template = Template.of(_read(given))
    options = {} if seed is None else {"seed": seed}
    model = Model.of(open_model(path, "auto", "auto"))
    filled = model.infill(template, instruction=instruction, max_candidates=candidates, **options)
    if as_json:
        print(json.dumps(asdict(filled)))
    elif sys.stdout.isatty():
        Console(highlight=False).print(marked(template, filled), soft_wrap=True)
    else:
        print(filled.text, end="")
    seen, there = filled.right_context
    if seen < there:
        print(f"redraft: the model saw {seen} of the {there} tokens behind the last hole", file=sys.stderr)


def marked(template: Template, filled: Infilled) -> Text:
    """The text, its fillings in green."""
    text = Text(printable(template.texts[0]))
    for fill, behind in zip(filled.fills, template.texts[1:], strict=True):
        text.append(printable(fill), "bold green").append(printable(behind))
    return text


def _read(given: str) -> str:
    try:
        return sys.stdin.read() if given == "-" else Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{given} cannot be read as text: {error}") from error
