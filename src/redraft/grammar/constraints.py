"""The simple constraints (Regex, Choice), and the values that stand for a constraint."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, TypeAlias

from redraft.errors import ConstraintError
from redraft.grammar.budget import budgeted
from redraft.grammar.constraint import Constraint, TextConstraint
from redraft.grammar.language.builders import dfa_of_texts
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.dfa import DFA
from redraft.grammar.regex import regex_fullmatch
from redraft.grammar.schema import JsonSchema, SchemaClass

# A constraint, a JSON Schema as a dictionary, or a pydantic model class.
ConstraintLike: TypeAlias = Constraint | Mapping[str, Any] | type[SchemaClass]


class Regex(TextConstraint):
    """Texts that match a pattern from the first character to the last.

    Args:
        pattern: in Python's syntax, without what a regular language cannot express (lookaround,
            backreferences, word boundaries) and without flags other than i, s and x. \\d, \\w and
            \\s are the ASCII ones.
    """

    @budgeted
    def __init__(self, pattern: str) -> None:
        if not isinstance(pattern, str):
            raise ConstraintError(f"a pattern is a string, not {type(pattern).__name__}")
        self.pattern = pattern
        self.check()

    @property
    def key(self) -> Hashable:
        return self.pattern

    def build(self) -> DFA:
        return minimal_dfa(regex_fullmatch(self.pattern))


class Choice(TextConstraint):
    """One of a list of texts."""

    @budgeted
    def __init__(self, texts: Iterable[str]) -> None:
        single = isinstance(texts, str) or not isinstance(texts, Iterable)
        self.texts = () if single else tuple(texts)
        if not self.texts or not all(isinstance(text, str) for text in self.texts):
            raise ConstraintError(f"choices are a list of at least one string, not {texts!r}")
        self.check()

    @property
    def key(self) -> Hashable:
        return self.texts

    def build(self) -> DFA:
        return dfa_of_texts(self.texts)


def as_constraint(value: ConstraintLike | None) -> Constraint | None:
    """Return a Constraint (or None) as it is, and a JSON Schema or a pydantic model class as a
    JsonSchema.

    Raises:
        ConstraintError: the value is of another type, or its schema cannot be used.
    """
    if value is None or isinstance(value, Constraint):
        return value
    if isinstance(value, Mapping) or hasattr(value, "model_json_schema"):
        return JsonSchema(value)
    raise ConstraintError(
        f"{value!r} is no constraint: give a Regex, Choice, JsonSchema, Grammar or ToolCalls"
    )
