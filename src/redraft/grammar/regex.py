"""From a pattern to an expression: Python's syntax, read by the standard library's own parser.

Only regular languages are taken, and only what dialects agree on (see `character_classes`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

from redraft.errors import ConstraintError
from redraft.grammar.character_classes import category, ignoring_case
from redraft.grammar.language.charset import ANY_CHARACTER, Charset
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.expression import (
    EMPTY_TEXT,
    Concat,
    Expression,
    Language,
    Repeat,
    Symbol,
    Union,
)

# Marks of the begin and the end of a text, while anchors are resolved. No token has these symbols.
BEGIN = Charset(((1 << 30, 1 << 30),))
END = Charset((((1 << 30) + 2, (1 << 30) + 2),))
# A node, or a list of nodes, of the parser's tree. It has no types.
PatternTree: TypeAlias = Any
# The parser is private, but there is no other reader of Python's patterns.
PARSER: Any = re._parser
FLAGS = re.IGNORECASE | re.DOTALL | re.VERBOSE
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


def regex_fullmatch(pattern: str, *, anchors: bool = True) -> Expression:
    """Return the texts that a pattern matches from the first character to the last.

    Args:
        anchors: False refuses anchors. They have no meaning in a pattern for a part of a text.

    Raises:
        ConstraintError: the pattern is not valid, or its language is not regular; the message names
            what it has.
    """
    reader = _PatternReader(pattern)
    inner = reader.read()
    if not reader.anchored:
        return inner
    if not anchors:
        raise reader.refused("an anchor", "where a part of a text is described")
    return _resolve_anchors(Concat((Repeat(Symbol(BEGIN)), inner, Repeat(Symbol(END)))))


def regex_search(pattern: str) -> Expression:
    """Return the texts in which a pattern matches somewhere, as JSON Schema's `pattern` does.

    The dialect is that of ECMA 262: a dot matches no line end of any kind.

    Raises:
        ConstraintError: as for `regex_fullmatch`.
    """
    inner = _PatternReader(pattern, LINE_ENDS).read()
    anything = Repeat(Symbol(ANY_CHARACTER | BEGIN | END))
    return _resolve_anchors(Concat((anything, inner, anything)))


def _resolve_anchors(expression: Expression) -> Expression:
    """Return the texts that match between marks of their begin and end, without the marks.

    An anchor reads one mark. A text may have any number of marks, because several anchors may
    stand at one place.
    """
    marked = Concat(
        (Repeat(Symbol(BEGIN), 1), Repeat(Symbol(ANY_CHARACTER)), Repeat(Symbol(END), 1))
    )
    return Language(minimal_dfa(expression) & minimal_dfa(marked), _without_marks)


def _without_marks(charset: Charset) -> Expression:
    """Return a transition's characters; a mark becomes the empty text."""
    characters = Symbol(charset & ANY_CHARACTER)
    if not charset - ANY_CHARACTER:
        return characters
    return Union((characters, EMPTY_TEXT)) if characters.charset else EMPTY_TEXT


def _parse(pattern: str) -> PatternTree:
    """Return the tree of Python's parser."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = PARSER.parse(pattern)
    # A ValueError is of a number with more digits than Python reads.
    except (re.error, OverflowError, ValueError) as error:
        raise ConstraintError(f"the pattern {pattern!r} is not valid: {error}") from None
    if parsed.state.flags & ~(FLAGS | re.UNICODE):
        raise ConstraintError(
            f"the pattern {pattern!r} sets a flag; of the flags only i, s and x can be used here"
        )
    return parsed


class _PatternReader:
    """Turns the parser's tree into an expression.

    Attributes:
        flags: the flags at the place that is read.
        anchored: True once an anchor was read.
    """

    def __init__(self, pattern: str, line_ends: Charset = NEWLINE) -> None:
        """Args: line_ends: the characters that a dot does not match."""
        self.pattern = pattern
        self.line_ends = line_ends
        self.flags = 0
        self.anchored = False

    def read(self) -> Expression:
        try:
            return self.sequence(_parse(self.pattern))
        except RecursionError:
            raise ConstraintError("the pattern is nested too deeply") from None

    def sequence(self, items: PatternTree) -> Expression:
        if hasattr(items, "state"):
            self.flags = self.flags or items.state.flags
        return Concat(tuple(self.item(str(op), argument) for op, argument in items))

    def item(self, op: str, argument: PatternTree) -> Expression:
        match op:
            case "LITERAL":
                return Symbol(self.checked(self.cased(Charset(((argument, argument),)))))
            case "NOT_LITERAL":
                return Symbol(ANY_CHARACTER - self.cased(Charset(((argument, argument),))))
            case "ANY":
                dot = ANY_CHARACTER if self.flags & re.DOTALL else ANY_CHARACTER - self.line_ends
                return Symbol(dot)
            case "IN":
                return Symbol(self.members(argument))
            case "BRANCH":
                return Union(tuple(self.sequence(branch) for branch in argument[1]))
            case "SUBPATTERN":
                return self.group(argument)
            case "MAX_REPEAT" | "MIN_REPEAT":
                minimum, maximum, part = argument
                limit = None if maximum == PARSER.MAXREPEAT else int(maximum)
                return Repeat(self.sequence(part), int(minimum), limit)
            case "AT":
                return self.anchor(str(argument))
        raise self.refused(REFUSED.get(op, op.lower()))

    def group(self, argument: PatternTree) -> Expression:
        _, added, removed, inner = argument
        if (added | removed) & ~FLAGS:
            raise self.refused("a flag other than i, s and x")
        before = self.flags
        self.flags = (before | added) & ~removed
        found = Concat(tuple(self.item(str(op), part) for op, part in inner))
        self.flags = before
        return found

    def anchor(self, name: str) -> Expression:
        self.anchored = True
        match name:
            case "AT_BEGINNING" | "AT_BEGINNING_STRING":
                return Symbol(BEGIN)
            case "AT_END" | "AT_END_STRING":
                return Symbol(END)
        raise self.refused("a word boundary")

    def members(self, items: Sequence[tuple[object, PatternTree]]) -> Charset:
        """Return the charset of [...]."""
        found, inverted = Charset(()), False
        single: list[tuple[int, int]] = []
        categories = {str(argument) for op, argument in items if str(op) == "CATEGORY"}
        if any(name.replace("CATEGORY_", "CATEGORY_NOT_") in categories for name in categories):
            # A category and its negation are everything, in every dialect.
            found = ANY_CHARACTER
        for op, argument in items:
            match str(op):
                case "NEGATE":
                    inverted = True
                case "LITERAL":
                    single.append((argument, argument))
                case "RANGE":
                    single.append(argument)
                case "CATEGORY":
                    found |= category(str(argument), inverted)
        found = self.cased(found | Charset.of(single))
        return ANY_CHARACTER - found if inverted else self.checked(found)

    def cased(self, charset: Charset) -> Charset:
        """Return a charset, with the other cases of its characters where case is ignored."""
        return ignoring_case(charset) if self.flags & re.IGNORECASE else charset

    def checked(self, charset: Charset) -> Charset:
        """Return the characters of a charset; raise where it has only halves of surrogates."""
        if not charset & ANY_CHARACTER:
            raise self.refused("half a surrogate pair")
        return charset & ANY_CHARACTER

    def refused(
        self, what: str, why: str = "which a regular language cannot express"
    ) -> ConstraintError:
        return ConstraintError(f"the pattern {self.pattern!r} has {what}, {why}: leave it out")
