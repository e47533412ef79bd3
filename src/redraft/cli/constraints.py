"""From the options that say what a text must be to a constraint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from redraft.errors import RequestError
from redraft.grammar import Choice, Constraint, Grammar, JsonSchema, Regex


@dataclass(frozen=True)
class Wanted:
    """At most one of these is given."""

    json_schema: str | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None

    def constraint(self) -> Constraint | None:
        """What they ask for; None where nothing is asked.

        Raises:
            RequestError: more than one is given, or a file cannot be read. ConstraintError: what it
                holds cannot be used.
        """
        if (
            sum(
                given is not None
                for given in (self.json_schema, self.regex, self.choice, self.grammar)
            )
            > 1
        ):
            raise RequestError("give one of --json-schema, --regex, --choice and --grammar")
        if self.json_schema is not None:
            return JsonSchema(_read(self.json_schema))
        if self.regex is not None:
            return Regex(self.regex)
        if self.choice is not None:
            return Choice([text for texts in self.choice for text in texts.split(",")])
        return None if self.grammar is None else Grammar(_read(self.grammar))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} cannot be read: {error}") from None
