"""How values are written: in JSON, or in the syntax of Gemma's tool calls."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from redraft.errors import ConstraintError
from redraft.grammar import regex
from redraft.grammar.language.charset import Charset
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import (
    EMPTY,
    Expression,
    One,
    Repeat,
    Texts,
    chain,
    literal,
)
from redraft.grammar.schema.strings import json_string

BARE = r"[A-Za-z_][A-Za-z0-9_-]*"  # names that stand without quotes


@dataclass(frozen=True)
class Syntax:
    """string: strings of some content. key: a member's name. space: what may stand beside brackets,
    and behind commas and colons. order: the order in which an object's members are written. names:
    members' names that a schema leaves free."""

    string: Callable[[DFA], Expression]
    key: Callable[[str], Expression]
    space: Expression
    order: Callable[[list[str]], list[str]]
    names: Callable[[DFA], Expression]

    @property
    def comma(self) -> Expression:
        return chain(",", self.space)

    @property
    def colon(self) -> Expression:
        return chain(":", self.space)

    def enclosed(self, opening: str, inner: Expression, closing: str) -> Expression:
        """Between brackets."""
        return chain(opening, self.space, inner, self.space, closing)


def json_syntax(space: str) -> Syntax:
    """JSON; `space` is the pattern of what may stand between its parts, as far as that is JSON's
    white space."""
    if not isinstance(space, str):
        raise ConstraintError(f"space={space!r} must be a pattern")
    found = DFA.of(regex.whole(space)) & DFA.of(Repeat(One(Charset.chars(" \t\r\n"))))
    if found.empty:
        raise ConstraintError(f"space={space!r} must match white space: spaces, tabs and line ends")
    blank = Texts(found)

    def key(name: str) -> Expression:
        return json_string(DFA.of(literal(name)))

    return Syntax(json_string, key, blank, lambda names: names, json_string)


def bare(name: str) -> Expression:
    """A name that needs no quotes.

    Raises:
        ConstraintError: it would need them.
    """
    if not re.fullmatch(BARE, name):
        raise ConstraintError(
            f"the name {name!r} cannot be written in a tool call: use letters, digits, _ and -"
        )
    return literal(name)


def call_syntax(quote: Expression) -> Syntax:
    """Gemma's tool calls: strings as they are between quote tokens, names bare, no space, members
    in alphabetical order."""
    return Syntax(
        lambda content: chain(quote, Texts(content), quote),
        bare,
        EMPTY,
        lambda names: sorted(names, key=str.lower),
        lambda content: Texts(content & DFA.of(regex.whole(BARE))),
    )
