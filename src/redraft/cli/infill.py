"""`redraft infill`: fill the holes of a text."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from redraft.cli.constraints import constraint_of
from redraft.cli.familiar import check_familiar
from redraft.cli.options import (
    ChoiceOption,
    GrammarOption,
    InstructionOption,
    ModelOption,
    RegexOption,
    SamplerOption,
    SchemaOption,
    SeedOption,
    StoppingOption,
    checked_strategies,
    given,
)
from redraft.cli.progress import open_model
from redraft.cli.texts import line_span, plain_line_ends, read_text, with_line_ends, write_text
from redraft.cli.view import printable
from redraft.errors import RequestError

if TYPE_CHECKING:
    from redraft.editing import Hole, Infilled, Template


def infill(
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="A text with <hole> marks, or - for standard input."),
    ] = None,
    template: Annotated[
        str | None, typer.Option(metavar="FILE", help="Another way to give FILE.")
    ] = None,
    lines: Annotated[
        str | None,
        typer.Option(metavar="A-B", help="Make these lines of FILE the hole; no marks then."),
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="The text before one hole; - reads standard input.")
    ] = None,
    suffix: Annotated[
        str | None, typer.Option(help="The text after it; - reads standard input.")
    ] = None,
    model: ModelOption = "small-text",
    instruction: InstructionOption = None,
    candidates: Annotated[
        int,
        typer.Option(help="The limit on candidates: widths of the holes that are tried.", min=1),
    ] = 6,
    max_tokens: Annotated[int, typer.Option(help="The limit on tokens in a hole.", min=1)] = 24,
    json_schema: SchemaOption = None,
    regex: RegexOption = None,
    choice: ChoiceOption = None,
    grammar: GrammarOption = None,
    seed: SeedOption = None,
    sampler: SamplerOption = None,
    stopping: StoppingOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, with all candidates.")
    ] = False,
) -> None:
    """Fill the holes of a text from both sides.

    The text outside of the holes does not change.
    """
    from redraft.editing import Hole

    hole = Hole(1, max_tokens, constraint_of(json_schema, regex, choice, grammar))
    source, line_end = _template(file, template, lines, (prefix, suffix), hole)
    strategies = checked_strategies(sampler, stopping)
    loaded = open_model(model)
    check_familiar(loaded, model, prompt="".join(source.texts))
    result = loaded.infill(
        source,
        instruction=instruction,
        max_candidates=candidates,
        **strategies,
        **given(seed=seed),
    )
    if as_json:
        print(json.dumps(to_json(result) | {"text": with_line_ends(result.text, line_end)}))
    elif sys.stdout.isatty():
        Console(highlight=False).print(marked(source, result), soft_wrap=True)
    else:
        write_text(with_line_ends(result.text, line_end))
    if seed is None and not as_json:
        print(f"redraft: seed {result.seed}", file=sys.stderr)
    seen, total = result.right_context
    if seen < total:
        print(
            f"redraft: the model saw {seen} of the {total} tokens after the last hole",
            file=sys.stderr,
        )


def _template(
    file: str | None,
    template: str | None,
    lines: str | None,
    sides: tuple[str | None, str | None],
    hole: Hole,
) -> tuple[Template, str]:
    """Return the template of a file with marks, of lines of a file, or of a text on both sides, and
    the end of its lines, which are plain in the template.

    Raises:
        RequestError: no text is given, or more than one, or the text has no such hole.
    """
    from redraft.editing import Template

    two_sided = sides != (None, None)
    if sum((file is not None, template is not None, two_sided)) != 1:
        raise RequestError("give one of FILE, --template FILE, and --prefix with --suffix")
    if lines is not None and file is None:
        raise RequestError("--lines names lines of FILE: give a FILE")
    if two_sided:
        both = "\0".join(_read_sides(sides[0] or "", sides[1] or ""))
        both, line_end = plain_line_ends(both)
        before, _, after = both.partition("\0")
        return Template.of([before, hole, after]), line_end
    text, line_end = plain_line_ends(read_text(file or template or ""))
    if lines is not None:
        return Template.around(text, [line_span(text, lines)], hole), line_end
    return Template.of(text, hole), line_end


def _read_sides(prefix: str, suffix: str) -> tuple[str, str]:
    """Return prefix and suffix, with standard input in the place of "-"."""
    from redraft.editing import MARK

    if "-" not in (prefix, suffix):
        return prefix, suffix
    text = read_text("-")
    if prefix != suffix:
        return (text, suffix) if prefix == "-" else (prefix, text)
    before, border, after = text.partition("\0" if "\0" in text else MARK)
    if not border or border in after:
        raise RequestError(
            "standard input must hold the prefix and the suffix, with a NUL character or one "
            f"{MARK} between them"
        )
    return before, after


def to_json(result: Infilled) -> dict[str, object]:
    """Return a result as `redraft infill --json` prints it."""
    best = result.candidates[0]
    return {
        "text": result.text,
        "holes": result.fills,
        "score": best.score,
        "steps": best.steps,
        "candidates": [asdict(candidate) for candidate in result.candidates],
        "right_context": result.right_context,
        "seed": result.seed,
    }


def marked(template: Template, result: Infilled) -> Text:
    """Return the text, with the fills in green."""
    text = Text(printable(template.texts[0]))
    for fill, after in zip(result.fills, template.texts[1:], strict=True):
        text.append(printable(fill), "bold green").append(printable(after))
    return text
