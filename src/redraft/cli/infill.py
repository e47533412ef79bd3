"""`redraft infill`: fill the holes of a text."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from redraft.cli.texts import line_span, read_text, write_text
from redraft.cli.view import printable
from redraft.cli.write import given, open_model
from redraft.editing import MARK, Hole, Infilled, Template
from redraft.errors import RequestError


@dataclass(frozen=True)
class Source:
    """Where the text and its holes come from: a file with marks, a file and lines of it, or what
    stands on both sides."""

    file: str | None
    template: str | None
    lines: str | None
    prefix: str | None
    suffix: str | None

    def read(self, hole: Hole) -> Template:
        """The template, every hole of it alike.

        Raises:
            RequestError: none, or more than one, of the ways is used, or the text does not go with
                it.
        """
        sides = self.prefix is not None or self.suffix is not None
        if sum((self.file is not None, self.template is not None, sides)) != 1:
            raise RequestError("give one of FILE, --template FILE, and --prefix with --suffix")
        if self.lines is not None and self.file is None:
            raise RequestError("--line names lines of FILE: give one")
        if sides:
            return self._sides(hole)
        text = read_text(self.file or self.template or "")
        if self.lines is not None:
            return Template.around(text, [line_span(text, self.lines)], hole)
        return Template.of(text, hole)

    def _sides(self, hole: Hole) -> Template:
        prefix, suffix = self.prefix or "", self.suffix or ""
        if prefix == suffix == "-":
            text = read_text("-")
            parts = text.split("\0" if "\0" in text else MARK)
            if len(parts) != 2:
                raise RequestError(
                    f"standard input must hold prefix and suffix with a NUL or one {MARK} between them"
                )
            prefix, suffix = parts
        elif "-" in (prefix, suffix):
            text = read_text("-")
            prefix, suffix = (text if side == "-" else side for side in (prefix, suffix))
        return Template.of([prefix, hole, suffix])


def run(
    source: Source,
    path: str,
    instruction: str | None,
    hole: Hole,
    *,
    candidates: int,
    seed: int | None,
    as_json: bool,
) -> None:
    """Fill what the source holds, and print it: plainly into a pipe, with the fillings marked on a
    terminal."""
    template = source.read(hole)
    model = open_model(path, "auto", "auto")
    filled = model.infill(
        template, instruction=instruction, max_candidates=candidates, **given(seed=seed)
    )
    if as_json:
        print(json.dumps(told(filled)))
    elif sys.stdout.isatty():
        Console(highlight=False).print(marked(template, filled), soft_wrap=True)
    else:
        write_text(filled.text)
    if seed is None and not as_json:
        print(f"redraft: seed {filled.seed}", file=sys.stderr)
    seen, there = filled.right_context
    if seen < there:
        print(
            f"redraft: the model saw {seen} of the {there} tokens behind the last hole",
            file=sys.stderr,
        )


def told(filled: Infilled) -> dict[str, Any]:
    """A filled text as `redraft infill --json` prints it."""
    best = filled.candidates[0]
    return {
        "text": filled.text,
        "holes": filled.fills,
        "score": best.score,
        "steps": best.steps,
        "candidates": [asdict(one) for one in filled.candidates],
        "right_context": filled.right_context,
        "seed": filled.seed,
    }


def marked(template: Template, filled: Infilled) -> Text:
    """The text, its fillings in green."""
    text = Text(printable(template.texts[0]))
    for fill, behind in zip(filled.fills, template.texts[1:], strict=True):
        text.append(printable(fill), "bold green").append(printable(behind))
    return text
