"""Members and items with commas between them, where each may be left out.

A symbol that no text has stands for the comma before each part, the first one too, until the parts
are one DFA. Then they can be counted, and the first comma is taken off.
"""

from __future__ import annotations

from redraft.grammar.language.builders import dfa_from_state
from redraft.grammar.language.charset import LAST_SYMBOL, Charset
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.dfa import DFA, with_few_classes
from redraft.grammar.language.expression import (
    EMPTY_LANGUAGE,
    EMPTY_TEXT,
    Expression,
    Language,
    Repeat,
    Symbol,
    concat,
    optional,
    union,
)
from redraft.grammar.language.minimise import DEAD

SEPARATOR, UNCOUNTED = 1 << 31, (1 << 31) + 2
COMMA = Symbol(Charset(((SEPARATOR, SEPARATOR),)))
# The comma of a part that does not count for a minimum.
UNCOUNTED_COMMA = Symbol(Charset(((UNCOUNTED, UNCOUNTED),)))
COMMAS = COMMA.charset | UNCOUNTED_COMMA.charset
ANY_SYMBOL = Charset(((0, LAST_SYMBOL),))


def counted(parts: DFA, minimum: int, maximum: int | None) -> DFA:
    """Return the texts of a DFA that have so many parts."""
    other = Repeat(Symbol(ANY_SYMBOL - COMMAS))
    if minimum:
        enough = concat(other, Repeat(concat(COMMA, other), minimum, minimum))
        parts &= minimal_dfa(concat(enough, Repeat(Symbol(ANY_SYMBOL))))
    if maximum is not None:
        parts &= minimal_dfa(concat(other, Repeat(concat(Symbol(COMMAS), other), 0, maximum)))
    return parts


def without_first_comma(parts: DFA, comma: Expression) -> Expression:
    """Return the texts of a DFA with commas for their separators, without the first one.

    Args:
        comma: the comma as it is written.
    """

    def spell(charset: Charset) -> Expression:
        rest = Symbol(charset - COMMAS)
        if not charset & COMMAS:
            return rest
        return union([comma, rest]) if rest.charset else comma

    column = parts.alphabet.class_of(SEPARATOR)
    if column < 0 or parts.table[0, column] == DEAD:
        return EMPTY_TEXT if parts.final[0] else EMPTY_LANGUAGE
    rest = dfa_from_state(parts, int(parts.table[0, column]))
    rest = with_few_classes(rest.alphabet, rest.table, rest.final)
    more = any(charset & COMMAS for charset in rest.alphabet.charsets)
    some = Language(rest, spell if more else None)
    return optional(some) if parts.final[0] else some
