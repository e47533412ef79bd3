"""Regular expressions as expressions: Python's syntax, read by the standard library's own parser.

Only what a finite automaton can do is taken, and only what other dialects mean alike: \\d, \\w and \\s are the ASCII ones, and
\\D, \\W and \\S exclude the Unicode ones.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from redraft.errors import ConstraintError
from redraft.grammar.language.automaton import DEAD, Automaton, rebased
from redraft.grammar.language.charset import ANY, SPECIAL, Charset
from redraft.grammar.language.expression import Chain, Either, Expression, One, Repeat, Texts, optional

# What stands for the begin and the end of a text while anchors are worked out: symbols that no token has.
BEGIN, END = (Charset(((symbol, symbol),)) for symbol in (1 << 30, (1 << 30) + 2))
PARSER: Any = re._parser  # the only reader of Python's patterns that there is
USABLE = re.IGNORECASE | re.DOTALL | re.VERBOSE
NEWLINE = Charset.chars("\n")
REFUSED = {
    "ASSERT": "a lookahead or lookbehind",
    "ASSERT_NOT": "a negative lookahead or lookbehind",
    "GROUPREF": "a reference to a group",
    "GROUPREF_EXISTS": "a condition on a group",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repetition",
}
POSITIVE = {
    "CATEGORY_DIGIT": Charset.of([(48, 57)]),
    "CATEGORY_SPACE": Charset.chars(" \t\n\r\f\v"),
    "CATEGORY_WORD": Charset.of([(48, 57), (65, 90), (95, 95), (97, 122)]),
}


def whole(pattern: str) -> Expression:
    """The texts that match a pattern from their first character to their last.

    Raises:
        ConstraintError: the pattern is not valid, or not one of a regular language; the message names the place.
    """
    parsed = _parsed(pattern)
    if not _anchored(parsed):
        return _Reader(pattern).sequence(parsed)
    inner = _Reader(pattern).sequence(parsed)
    return _within(Chain((optional(One(BEGIN)), inner, optional(One(END)))))


def search(pattern: str) -> Expression:
    """The texts in which a pattern matches somewhere, as JSON Schema has it; errors as for `whole`."""
    inner = _Reader(pattern).sequence(_parsed(pattern))
    anything = Repeat(One(ANY | BEGIN | END))
    return _within(Chain((anything, inner, anything)))


def _within(expression: Expression) -> Expression:
    """Texts that, between the two marks, are of this expression; the marks are taken off."""
    marked = Automaton.of(expression) & Automaton.of(Chain((One(BEGIN), Repeat(One(ANY)), One(END))))
    if marked.empty:
        return Either(())
    begin, end = (marked.alphabet.kind(charset.intervals[0][0]) for charset in (BEGIN, END))
    return Texts(rebased(marked, int(marked.table[0, begin]), marked.table[:, end] != DEAD))


def _parsed(pattern: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = PARSER.parse(pattern)
    except re.error as error:
        raise ConstraintError(f"the pattern {pattern!r} is not valid: {error}") from None
    except RecursionError:
        raise ConstraintError("the pattern is nested too deeply") from None
    if parsed.state.flags & ~(USABLE | re.UNICODE):
        raise ConstraintError(f"the pattern {pattern!r} sets a flag; of the flags only i, s and x can be used here")
    return parsed


def _anchored(parsed: Any) -> bool:
    return "AT_" in repr(parsed)


class _Reader:
    """Turns the parser's tree into expressions."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.flags = 0

    def sequence(self, items: Any) -> Expression:
        if hasattr(items, "state"):
            self.flags = self.flags or items.state.flags
        return Chain(tuple(self.item(str(op), argument) for op, argument in items))

    def item(self, op: str, argument: Any) -> Expression:
        match op:
            case "LITERAL":
                return One(self.known(self.cased(Charset(((argument, argument),)))))
            case "NOT_LITERAL":
                return One(ANY - self.cased(Charset(((argument, argument),))))
            case "ANY":
                return One(ANY if self.flags & re.DOTALL else ANY - NEWLINE)
            case "IN":
                return One(self.members(argument))
            case "BRANCH":
                return Either(tuple(self.sequence(branch) for branch in argument[1]))
            case "SUBPATTERN":
                return self.group(argument)
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, part = argument
                return Repeat(self.sequence(part), int(least), None if most == PARSER.MAXREPEAT else int(most))
            case "AT":
                return self.anchor(str(argument))
        raise self.refused(REFUSED.get(op, op.lower()))

    def group(self, argument: Any) -> Expression:
        _, added, removed, inner = argument
        if (added | removed) & ~USABLE:
            raise self.refused("a flag other than i, s and x")
        before = self.flags
        self.flags = (before | added) & ~removed
        found = Chain(tuple(self.item(str(op), part) for op, part in inner))
        self.flags = before
        return found

    def anchor(self, name: str) -> Expression:
        match name:
            case "AT_BEGINNING" | "AT_BEGINNING_STRING":
                return One(BEGIN)
            case "AT_END" | "AT_END_STRING":
                return One(END)
        raise self.refused("a word boundary")

    def members(self, items: Sequence[tuple[Any, Any]]) -> Charset:
        found, inverted = Charset(()), False
        for op, argument in items:
            match str(op):
                case "NEGATE":
                    inverted = True
                case "LITERAL":
                    found |= Charset(((argument, argument),))
                case "RANGE":
                    found |= Charset((argument,))
                case "CATEGORY":
                    found |= category(str(argument), inverted)
        found = self.cased(found)
        return ANY - found if inverted else self.known(found)

    def cased(self, charset: Charset) -> Charset:
        """With the other cases of its characters, where case does not matter."""
        if not self.flags & re.IGNORECASE:
            return charset
        return charset | Charset.of(
            (ord(v), ord(v)) for char, others in cases().items() if ord(char) in charset for v in others
        )

    def known(self, charset: Charset) -> Charset:
        if not charset & ANY:
            raise self.refused("half a surrogate pair")
        return charset & ANY

    def refused(self, what: str) -> ConstraintError:
        return ConstraintError(f"the pattern {self.pattern!r} has {what}, which a finite automaton cannot do: leave it out")


@cache
def category(name: str, wide: bool = False) -> Charset:
    """The characters of a class such as CATEGORY_DIGIT. Dialects differ: those on which all agree, unless `wide`."""
    plain = name.replace("_NOT_", "_")
    if plain == name:
        return POSITIVE[plain] | _unicode(plain) if wide else POSITIVE[plain]
    return ANY - (POSITIVE[plain] if wide else POSITIVE[plain] | _unicode(plain))


@cache
def cases() -> dict[str, set[str]]:
    """Characters that differ by their case alone."""
    found: dict[str, set[str]] = {}
    for number in range(SPECIAL):
        char = chr(number)
        for other in (char.lower(), char.upper()):
            if len(other) == 1 and other != char:
                found.setdefault(char, set()).add(other)
                found.setdefault(other, set()).add(char)
    return found


@cache
def _unicode(name: str) -> Charset:
    test: Callable[[str], bool] = {
        "CATEGORY_DIGIT": str.isdigit,
        "CATEGORY_SPACE": lambda char: char.isspace() or char == "\ufeff",
        "CATEGORY_WORD": lambda char: char.isalnum() or char == "_",
    }[name]
    return Charset.of(_runs(number for number in range(min(SPECIAL, sys.maxunicode + 1)) if test(chr(number)))) & ANY


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    return runs
