"""Syntax: how values are written, in JSON or in Gemma's tool calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redraft.errors import ConstraintError
from redraft.grammar.language.charset import Charset
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import (
    EMPTY_TEXT,
    Expression,
    Language,
    Repeat,
    Symbol,
    concat,
    literal,
)
from redraft.grammar.regex import regex_fullmatch
from redraft.grammar.schema.strings import json_string
from redraft.grammar.schema.values import number_text
from redraft.text.json_value import Json

# Names of members that need no quotes in a tool call.
BARE_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"


@dataclass(frozen=True)
class Syntax:
    """How the parts of a value are written.

    Attributes:
        string: strings, from the DFA of their content.
        key: the name of a member.
        names: the names of members that a schema leaves free, from their DFA.
        space: the white space inside brackets and behind commas and colons.
        order: the members of an object in the order in which they are written.
    """

    string: Callable[[DFA], Expression]
    key: Callable[[str], Expression]
    names: Callable[[DFA], Expression]
    space: Expression
    order: Callable[[list[str]], list[str]]

    @property
    def comma(self) -> Expression:
        return concat(",", self.space)

    @property
    def colon(self) -> Expression:
        return concat(":", self.space)

    def enclosed(self, opening: str, inner: Expression, closing: str) -> Expression:
        """Return an expression between brackets."""
        return concat(opening, self.space, inner, self.space, closing)

    def joined(self, parts: Sequence[Expression]) -> Expression:
        """Return the parts with commas between them."""
        behind = [concat(self.comma, part) for part in parts[1:]]
        return concat(*parts[:1], *behind)

    def value(self, value: Json) -> Expression:
        """Return one value as it is written."""
        match value:
            case None:
                return literal("null")
            case bool():
                return literal("true" if value else "false")
            case int() | float():
                return literal(number_text(value))
            case str():
                return self.string(minimal_dfa(literal(value)))
            case list():
                return self.enclosed("[", self.joined([self.value(item) for item in value]), "]")
        members = [
            concat(self.key(name), self.colon, self.value(value[name]))
            for name in self.order(list(value))
        ]
        return self.enclosed("{", self.joined(members), "}")


def json_syntax(space: str) -> Syntax:
    """Return the syntax of JSON.

    Args:
        space: a pattern for the white space; only JSON's own white space is taken of it.
    """
    if not isinstance(space, str):
        raise ConstraintError(f"space={space!r} must be a pattern")
    json_space = minimal_dfa(Repeat(Symbol(Charset.chars(" \t\r\n"))))
    found = minimal_dfa(regex_fullmatch(space)) & json_space
    if found.empty:
        raise ConstraintError(f"space={space!r} must match white space: spaces, tabs and line ends")
    return Syntax(
        string=json_string,
        key=lambda name: json_string(minimal_dfa(literal(name))),
        names=json_string,
        space=Language(found),
        order=lambda names: names,
    )


def call_syntax(quote: Expression) -> Syntax:
    """Return the syntax of Gemma's tool calls.

    Strings stand between quote tokens, without escapes. Names are bare. There is no white space,
    and members are in alphabetical order.
    """
    return Syntax(
        string=lambda content: concat(quote, Language(content), quote),
        key=bare_name,
        names=lambda content: Language(content & minimal_dfa(regex_fullmatch(BARE_NAME))),
        space=EMPTY_TEXT,
        order=lambda names: sorted(names, key=str.lower),
    )


def bare_name(name: str) -> Expression:
    """Return a name without quotes.

    Raises:
        ConstraintError: the name would need quotes.
    """
    if not re.fullmatch(BARE_NAME, name):
        raise ConstraintError(
            f"the name {name!r} cannot be written in a tool call: use letters, digits, _ and -"
        )
    return literal(name)
