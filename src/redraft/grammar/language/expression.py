"""Expressions: sets of texts, built from smaller ones. All notations (regular expressions, schemas,
grammars) become these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redraft.errors import ConstraintError
from redraft.grammar.language.charset import SPECIAL, Charset

if TYPE_CHECKING:
    from redraft.grammar.language.dfa import DFA


@dataclass(frozen=True)
class One:
    """One symbol of a set."""

    of: Charset


@dataclass(frozen=True)
class Chain:
    """Parts end to end; the empty text where there are none."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Either:
    """Any of the parts; nothing at all where there are none."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Repeat:
    """A part `least` to `most` times, without an end where that is None."""

    part: Expression
    least: int = 0
    most: int | None = None


@dataclass(frozen=True)
class Texts:
    """The texts of an automaton, each of its characters written as `spell` says, where that is
    given."""

    automaton: DFA
    spell: Callable[[Charset], Expression] | None = None


Expression = One | Chain | Either | Repeat | Texts

EMPTY = Chain(())
NOTHING = Either(())


def chain(*parts: Expression | str) -> Expression:
    """Parts end to end, strings standing for themselves."""
    return Chain(tuple(literal(part) if isinstance(part, str) else part for part in parts))


def either(parts: Sequence[Expression | str]) -> Expression:
    """Any of the parts, strings standing for themselves."""
    return Either(tuple(literal(part) if isinstance(part, str) else part for part in parts))


def literal(text: str) -> Expression:
    """This text.

    Raises:
        ConstraintError: it holds half a surrogate pair.
    """
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise ConstraintError(f"the text {text!r} holds half a surrogate pair, which no text can")
    return Chain(tuple(One(Charset.chars(char)) for char in text))


def optional(part: Expression | str) -> Expression:
    """The part, or nothing."""
    return either([part, EMPTY])


def special(token: int) -> Expression:
    """One special token."""
    return One(Charset(((SPECIAL + token, SPECIAL + token),)))
