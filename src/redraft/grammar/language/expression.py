"""Regular expressions as trees. Every notation (patterns, schemas, grammars) becomes one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redraft.errors import ConstraintError
from redraft.grammar.language.charset import FIRST_SPECIAL, SURROGATES, Charset
from redraft.grammar.language.dfa import DFA


@dataclass(frozen=True)
class Symbol:
    """One symbol of a set."""

    charset: Charset


@dataclass(frozen=True)
class Concat:
    """The items, one after the other; without items the empty text."""

    items: tuple[Expression, ...]


@dataclass(frozen=True)
class Union:
    """Any one of the items; without items the empty language."""

    items: tuple[Expression, ...]


@dataclass(frozen=True)
class Repeat:
    """An item, `minimum` to `maximum` times; a maximum of None is no limit."""

    item: Expression
    minimum: int = 0
    maximum: int | None = None


@dataclass(frozen=True)
class Language:
    """The texts that a DFA accepts.

    Attributes:
        spell: the expression that stands for each charset on a transition; None leaves the
            characters as they are. It writes strings with JSON's escapes, for example.
    """

    dfa: DFA
    spell: Callable[[Charset], Expression] | None = None


Expression = Symbol | Concat | Union | Repeat | Language

EMPTY_TEXT = Concat(())
EMPTY_LANGUAGE = Union(())


def concat(*items: Expression | str) -> Expression:
    """Build a concatenation; a string stands for itself."""
    found = tuple(literal(item) if isinstance(item, str) else item for item in items)
    return found[0] if len(found) == 1 else Concat(found)


def union(items: Sequence[Expression | str]) -> Expression:
    """Build a union; a string stands for itself."""
    found = tuple(literal(item) if isinstance(item, str) else item for item in items)
    return found[0] if len(found) == 1 else Union(found)


def literal(text: str) -> Expression:
    """Build the expression of one text.

    Raises:
        ConstraintError: the text holds half a surrogate pair.
    """
    check_no_surrogate(text)
    return Concat(tuple(Symbol(Charset.chars(char)) for char in text))


def check_no_surrogate(text: str) -> None:
    """Raise ConstraintError where a text holds half a surrogate pair: no tokens can write it."""
    first, last = map(chr, SURROGATES)
    if not text.isascii() and any(first <= char <= last for char in text):
        raise ConstraintError(f"the text {text!r} holds half a surrogate pair, not a character")


def optional(item: Expression | str) -> Expression:
    """Build the union of an item and the empty text."""
    return union([item, EMPTY_TEXT])


def is_empty(expression: Expression) -> bool:
    """Return True where an expression has no texts."""
    match expression:
        case Symbol(charset):
            return not charset
        case Concat(items):
            return any(map(is_empty, items))
        case Union(items):
            return all(map(is_empty, items))
        case Repeat(item, minimum, _):
            return minimum > 0 and is_empty(item)
    return expression.dfa.empty


def special_token(token: int) -> Expression:
    """Build the expression of one special token."""
    return Symbol(Charset(((FIRST_SPECIAL + token, FIRST_SPECIAL + token),)))
