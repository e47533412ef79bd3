"""The simple constraints (a regular expression, a list of choices), and the values that stand for a
constraint."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

from redraft.errors import ConstraintError
from redraft.grammar import regex
from redraft.grammar.constraint import Constraint
from redraft.grammar.language.builders import listed
from redraft.grammar.language.dfa import DFA
from redraft.grammar.schema import JsonSchema
from redraft.text import Tokenizer


class HasJsonSchema(Protocol):
    """A class that describes itself by a JSON Schema, as pydantic's models do."""

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        """Return the schema."""
        ...


ConstraintLike: TypeAlias = Constraint | Mapping[str, Any] | type[HasJsonSchema]


class Regex(Constraint):
    """Texts that match a pattern from the first character to the last.

    Args:
        pattern: in Python's syntax, without what a finite automaton cannot do (lookaround,
            references to groups, word boundaries, flags but i, s and x). \\d, \\w and \\s are the
            ASCII ones.
    """

    def __init__(self, pattern: str) -> None:
        if not isinstance(pattern, str):
            raise ConstraintError(f"a pattern is a string, not {type(pattern).__name__}")
        self.pattern = pattern
        self.automaton = DFA.of(regex.whole(pattern))

    @property
    def key(self) -> Hashable:
        return self.pattern

    def language(self, tokenizer: Tokenizer) -> DFA:
        return self.automaton


class Choice(Constraint):
    """One of some texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = (
            () if isinstance(texts, str) or not isinstance(texts, Iterable) else tuple(texts)
        )
        if not self.texts or not all(isinstance(text, str) for text in self.texts):
            raise ConstraintError(f"choices are strings, one at least, not {texts!r}")
        self.automaton = listed(self.texts)

    @property
    def key(self) -> Hashable:
        return self.texts

    def language(self, tokenizer: Tokenizer) -> DFA:
        return self.automaton


def as_constraint(value: ConstraintLike | None) -> Constraint | None:
    """Return a Constraint (or None) as it is, and a JSON Schema or a pydantic model class as a
    JsonSchema.

    Raises:
        ConstraintError: the value is of another type.
    """
    if value is None or isinstance(value, Constraint):
        return value
    if isinstance(value, Mapping) or hasattr(value, "model_json_schema"):
        return JsonSchema(value)
    raise ConstraintError(
        f"{value!r} is no constraint: give a Regex, Choice, JsonSchema or Grammar"
    )
