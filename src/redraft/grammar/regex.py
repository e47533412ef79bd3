"""Regular expressions as expressions: Python's syntax, read by the standard library's own parser.

Only what a finite automaton can do is taken, and only what other dialects mean alike: \\d, \\w and
\\s are the ASCII ones, and \\D, \\W and \\S exclude the Unicode ones.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from redraft.errors import ConstraintError
from redraft.grammar.language.charset import ANY, SPECIAL, Charset
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import EMPTY, Chain, Either, Expression, One, Repeat, Texts

# What stands for the begin and the end of a text while anchors are worked out: symbols that no
# token has.
BEGIN, END = (Charset(((symbol, symbol),)) for symbol in (1 << 30, (1 << 30) + 2))
PARSER: Any = re._parser  # the only reader of Python's patterns that there is
USABLE = re.IGNORECASE | re.DOTALL | re.VERBOSE
NEWLINE = Charset.chars("\n")
LINE_ENDS = Charset.chars("\n\r\u2028\u2029")
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


def whole(pattern: str, *, anchors: bool = True) -> Expression:
    """The texts that match a pattern from their first character to their last.

    Args:
        anchors: without, a pattern that has some is refused: what it describes is a part of a text.

    Raises:
        ConstraintError: the pattern is not valid, or not one of a regular language; the message
            names the place.
    """
    reader = _Reader(pattern)
    inner = reader.read()
    if reader.anchored and not anchors:
        raise reader.refused("an anchor", "where a part of a text is described")
    return (
        _within(Chain((Repeat(One(BEGIN)), inner, Repeat(One(END))))) if reader.anchored else inner
    )


def search(pattern: str) -> Expression:
    """The texts in which a pattern matches somewhere, as JSON Schema has it (ECMA 262: a dot is no
    line end of any kind).

    Raises:
        ConstraintError: as for `whole`.
    """
    inner = _Reader(pattern, LINE_ENDS).read()
    anything = Repeat(One(ANY | BEGIN | END))
    return _within(Chain((anything, inner, anything)))


def _within(expression: Expression) -> Expression:
    """Texts that, between marks of their begin and their end, are of this expression; the marks are
    taken off. An anchor stands for one mark, and there may be any number of them."""
    ends = Chain((Repeat(One(BEGIN), 1), Repeat(One(ANY)), Repeat(One(END), 1)))
    return Texts(DFA.of(expression) & DFA.of(ends), _unmarked)


def _unmarked(charset: Charset) -> Expression:
    rest = One(charset & ANY)
    return rest if not charset - ANY else Either((rest, EMPTY)) if rest.of else EMPTY


def _parsed(pattern: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = PARSER.parse(pattern)
    except (re.error, OverflowError) as error:
        raise ConstraintError(f"the pattern {pattern!r} is not valid: {error}") from None
    if parsed.state.flags & ~(USABLE | re.UNICODE):
        raise ConstraintError(
            f"the pattern {pattern!r} sets a flag; of the flags only i, s and x can be used here"
        )
    return parsed


class _Reader:
    """Turns the parser's tree into expressions."""

    def __init__(self, pattern: str, line_ends: Charset = NEWLINE) -> None:
        """line_ends: what a dot is not."""
        self.pattern = pattern
        self.line_ends = line_ends
        self.flags = 0
        self.anchored = False

    def read(self) -> Expression:
        try:
            return self.sequence(_parsed(self.pattern))
        except RecursionError:
            raise ConstraintError("the pattern is nested too deeply") from None

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
                return One(ANY if self.flags & re.DOTALL else ANY - self.line_ends)
            case "IN":
                return One(self.members(argument))
            case "BRANCH":
                return Either(tuple(self.sequence(branch) for branch in argument[1]))
            case "SUBPATTERN":
                return self.group(argument)
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, part = argument
                return Repeat(
                    self.sequence(part), int(least), None if most == PARSER.MAXREPEAT else int(most)
                )
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
        self.anchored = True
        match name:
            case "AT_BEGINNING" | "AT_BEGINNING_STRING":
                return One(BEGIN)
            case "AT_END" | "AT_END_STRING":
                return One(END)
        raise self.refused("a word boundary")

    def members(self, items: Sequence[tuple[Any, Any]]) -> Charset:
        found, inverted = Charset(()), False
        categories = {str(argument) for op, argument in items if str(op) == "CATEGORY"}
        if any(name.replace("CATEGORY_", "CATEGORY_NOT_") in categories for name in categories):
            found = (
                ANY  # a class and its negation are everything, whatever dialects make of the class
            )
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
        for _ in range(2):  # K, k and the Kelvin sign
            others = [
                (ord(v), ord(v))
                for char, cased in cases().items()
                if ord(char) in charset
                for v in cased
            ]
            charset |= Charset.of(others)
        return charset

    def known(self, charset: Charset) -> Charset:
        if not charset & ANY:
            raise self.refused("half a surrogate pair")
        return charset & ANY

    def refused(
        self, what: str, why: str = "which a finite automaton cannot do"
    ) -> ConstraintError:
        return ConstraintError(f"the pattern {self.pattern!r} has {what}, {why}: leave it out")


@cache
def category(name: str, wide: bool = False) -> Charset:
    """The characters of a class such as CATEGORY_DIGIT. Dialects differ: those on which all agree,
    unless `wide`."""
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
    return (
        Charset.of(
            _runs(number for number in range(min(SPECIAL, sys.maxunicode + 1)) if test(chr(number)))
        )
        & ANY
    )


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    return runs
