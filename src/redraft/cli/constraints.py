"""From the options --json-schema, --regex, --choice and --grammar to a constraint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from redraft.errors import RequestError

if TYPE_CHECKING:
    from redraft.grammar import Constraint


def constraint_of(
    json_schema: str | None, regex: str | None, choice: list[str] | None, grammar: str | None
) -> Constraint | None:
    """Return the constraint that the options ask for; None where none of them is given.

    Args:
        json_schema, grammar: the name of a file. choice: texts, divided by commas.

    Raises:
        RequestError: more than one is given, or a file cannot be read.
        ConstraintError: the schema, the pattern or the grammar cannot be used.
    """
    from redraft.grammar import Choice, Grammar, JsonSchema, Regex

    options = (json_schema, regex, choice, grammar)
    if len(options) - options.count(None) > 1:
        raise RequestError("give one of --json-schema, --regex, --choice and --grammar")
    if json_schema is not None:
        return JsonSchema(_read(json_schema))
    if regex is not None:
        return Regex(regex)
    if choice is not None:
        return Choice(",".join(choice).split(","))
    return None if grammar is None else Grammar(_read(grammar))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} cannot be read: {error}") from None
