"""Sets: the items of an array that must be distinct.

A DFA cannot remember which of infinitely many items it has read. Items of a few known values may
stand in any order. Otherwise the items are divided into cells, such as the strings with one first
character; there is one item of each cell at most, and the cells are in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from redraft.grammar.language.alphabet import Alphabet
from redraft.grammar.language.charset import ANY_CHARACTER, Charset
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.dfa import DFA, explore, minimal
from redraft.grammar.language.expression import (
    Expression,
    Language,
    Repeat,
    Symbol,
    concat,
    optional,
    union,
)
from redraft.grammar.regex import regex_fullmatch
from redraft.grammar.schema.conjunction import Conjunction, Values
from redraft.grammar.schema.separated import COMMA, counted, without_first_comma
from redraft.grammar.schema.subschema import Subschema
from redraft.grammar.schema.syntax import Syntax
from redraft.grammar.schema.values import distinct, identity
from redraft.text.json_value import Json

# Symbols that no text has: the items of each cell, at the beginning and behind a comma.
FIRST_ITEM, LATER_ITEM = 1 << 31, (1 << 31) + (1 << 20)
# Up to so many values may stand in any order: a state for each subset.
MAX_IN_ANY_ORDER = 7
NOT_ENOUGH = "there are not as many distinct items"
PLAIN_NUMBER = r"0(\.[0-9]+)?|-?[1-9][0-9]*(\.[0-9]+)?|-?0\.[0-9]*[1-9][0-9]*"
NUMBER_STARTS = "-0123456789"


# The number of items, and the cells that they are of.
State = tuple[int, frozenset[int]]


def distinct_items(
    conjunction: Conjunction,
    syntax: Syntax,
    values: Values,
    first: Sequence[Sequence[Subschema]],
    rest: Sequence[Subschema],
    minimum: int,
    maximum: int | None,
) -> Expression:
    """Return distinct items, with commas between them.

    Args:
        first: the subschemas of the first items, one by one.
        rest: those of all further items.

    Raises:
        ConstraintError: the items cannot be told apart.
    """
    finite = [values.finite(item) for item in [*first, rest]]
    if all(found is not None for found in finite):
        cells = _value_cells(syntax, [found or [] for found in finite])
    elif first:
        raise conjunction.error(
            "uniqueItems with prefixItems needs items of a few values each", "uniqueItems"
        )
    else:
        cells = [(cell, [True]) for cell in _cells(conjunction, syntax, values, rest)]
    if len(cells) <= MAX_IN_ANY_ORDER:
        return _in_any_order(conjunction, syntax, cells, minimum, maximum)
    if first:
        raise conjunction.error(
            f"uniqueItems with prefixItems needs {MAX_IN_ANY_ORDER} values at most",
            "uniqueItems",
        )
    parts = [optional(concat(COMMA, cell)) for cell, _ in cells]
    found = counted(conjunction.main.dfa(concat(*parts)), minimum, maximum)
    if found.empty:
        raise conjunction.unsatisfied(NOT_ENOUGH, "uniqueItems")
    return without_first_comma(found, syntax.comma)


# The items of a cell, and for the first positions and all further ones: is it admitted there.
Cell = tuple[Expression, list[bool]]


def _value_cells(syntax: Syntax, finite: Sequence[list[Json]]) -> list[Cell]:
    """Return a cell for each value."""
    values = distinct(chain.from_iterable(finite))
    sets = [set(map(identity, listed)) for listed in finite]
    cells: list[Cell] = []
    for value in values:
        own = identity(value)
        cells.append((syntax.value(value), [own in found for found in sets]))
    return cells


def _cells(
    conjunction: Conjunction,
    syntax: Syntax,
    values: Values,
    item: Sequence[Subschema],
) -> Iterator[Expression]:
    """Yield the cells of items of any number of values."""
    main = conjunction.main
    for kind in ("array", "object"):
        if not main.dfa(values.value(item, [kind])).empty:
            raise conjunction.error(
                f"uniqueItems is not supported for {kind}s of any number: "
                "give them an enum, or maxItems 1",
                "uniqueItems",
            )
    for kind in ("null", "boolean"):
        for text in ("null", "true", "false"):
            if main.dfa(values.value(item, [kind])).accepts(text):
                yield Language(minimal_dfa(concat(text)))
    numbers = main.dfa(values.value(item, ["number"])) & minimal_dfa(regex_fullmatch(PLAIN_NUMBER))
    for char in NUMBER_STARTS:
        if not (found := numbers & _starting(Charset.chars(char))).empty:
            yield Language(found)
    texts = values.texts(item)
    if texts.accepts(""):
        yield syntax.string(minimal_dfa(concat()))
    for charset in _first_characters():
        if not (found := texts & _starting(charset)).empty:
            yield syntax.string(found)


def _starting(charset: Charset) -> DFA:
    return minimal_dfa(concat(Symbol(charset), Repeat(Symbol(ANY_CHARACTER))))


def _first_characters() -> list[Charset]:
    """Return sets of characters: single ASCII ones, and blocks of the others."""
    edges = [*range(0x20, 0x80), 0xC0, 0x250, 0x370, 0x400, 0x590, 0x600, 0x900, 0x1100]
    edges += [0x3040, 0x30A0, 0x4E00, 0x6000, 0x7000, 0x8000, 0xAC00, 0xF900, 0x10000]
    starts, ends = [0, *edges], [*edges, 0x110000]
    blocks = [Charset(((a, b - 1),)) for a, b in zip(starts, ends, strict=True)]
    return [block & ANY_CHARACTER for block in blocks]


def _in_any_order(
    conjunction: Conjunction,
    syntax: Syntax,
    cells: Sequence[Cell],
    minimum: int,
    maximum: int | None,
) -> Expression:
    """Return items of which no two are of one cell."""
    positions = max((len(admitted) for _, admitted in cells), default=1) - 1

    def following(state: State) -> Iterator[tuple[int, State]]:
        count, taken = state
        if count == maximum:
            return
        for cell, (_, admitted) in enumerate(cells):
            if admitted[min(count, positions)] and cell not in taken:
                yield 2 * cell + (count > 0), (count + 1, taken | {cell})

    rows, states = explore((0, frozenset[int]()), following)
    symbols: list[Charset] = []
    for cell in range(len(cells)):
        symbols += [_symbol(FIRST_ITEM + cell), _symbol(LATER_ITEM + cell)]
    alphabet = Alphabet.separating(symbols)
    numbers = [alphabet.classes_of(symbol)[0] for symbol in symbols]
    table: list[dict[int, int]] = []
    for row in rows:
        table.append({numbers[at]: target for at, target in row.items()})
    dfa = minimal(alphabet, table, [count >= minimum for count, _ in states])
    items = [conjunction.main.dfa(cell) for cell, _ in cells]
    if dfa.empty:
        raise conjunction.unsatisfied(NOT_ENOUGH, "uniqueItems")

    def spell(charset: Charset) -> Expression:
        parts: list[Expression] = []
        for cell, item in enumerate(items):
            if FIRST_ITEM + cell in charset:
                parts.append(Language(item))
            if LATER_ITEM + cell in charset:
                parts.append(concat(syntax.comma, Language(item)))
        return union(parts)

    return Language(dfa, spell)


def _symbol(number: int) -> Charset:
    return Charset(((number, number),))
