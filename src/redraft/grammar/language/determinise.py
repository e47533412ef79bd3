"""From an expression to its minimal DFA: expression -> NFA -> subset construction -> minimise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from redraft.errors import ConstraintError
from redraft.grammar.budget import spend
from redraft.grammar.language.alphabet import Alphabet
from redraft.grammar.language.charset import Charset
from redraft.grammar.language.dfa import DFA, explore, joined, minimal, or_nothing
from redraft.grammar.language.expression import EMPTY_TEXT, Concat, Expression, Language, Union
from redraft.grammar.language.nfa import NFA

# States from which on a DFA is joined to what stands beside it, and not taken apart.
LARGE = 32


def minimal_dfa(expression: Expression) -> DFA:
    """Return the minimal DFA of an expression.

    Raises:
        ConstraintError: it would be too large, or the expression is nested too deeply.
    """
    if isinstance(expression, Language) and expression.spell is None:
        return expression.dfa
    try:
        return _joined(expression) or _determinised(NFA(expression))
    except RecursionError:
        raise ConstraintError("the constraint is nested too deeply") from None


def _joined(expression: Expression) -> DFA | None:
    """Return the minimal DFA of an expression that holds a large DFA and is deterministic as it
    stands: a concatenation, or the same or nothing. None for any other: no subsets are built."""
    if not _is_large(expression):
        return None
    match expression:
        case Union((item, other)) if other == EMPTY_TEXT:
            return or_nothing(minimal_dfa(item))
        case Concat(items):
            found: DFA | None = None
            for is_large, group in groupby(_flat(items), _is_large):
                for part in group if is_large else [Concat(tuple(group))]:
                    behind = minimal_dfa(part)
                    found = behind if found is None else joined(found, behind)
                    if found is None:
                        return None
            return found
    return None


def _flat(items: Iterable[Expression]) -> Iterator[Expression]:
    """Yield the items of a concatenation, and those of concatenations in it."""
    for item in items:
        if isinstance(item, Concat):
            yield from _flat(item.items)
        else:
            yield item


def _is_large(expression: Expression) -> bool:
    match expression:
        case Language(dfa, None):
            return len(dfa.table) >= LARGE
        case Concat(items) | Union(items):
            return any(map(_is_large, items))
    return False


def _determinised(nfa: NFA) -> DFA:
    """Return the minimal DFA of an NFA (subset construction, Rabin and Scott 1959)."""
    charsets: dict[Charset, None] = {}
    for arcs in nfa.transitions:
        charsets.update((charset, None) for charset, _ in arcs)
    alphabet = Alphabet.separating(list(charsets))
    classes_of = {charset: alphabet.classes_of(charset) for charset in charsets}
    # Many subsets reach the same states: their closures are computed once.
    closures: dict[tuple[int, ...], frozenset[int]] = {}

    def transitions(subset: frozenset[int]) -> Iterator[tuple[int, frozenset[int]]]:
        reached: dict[int, list[int]] = {}
        work = len(subset)
        for state in subset:
            for charset, target in nfa.transitions[state]:
                work += len(classes_of[charset])
                for symbol_class in classes_of[charset]:
                    reached.setdefault(symbol_class, []).append(target)
        spend(work)
        for symbol_class, targets in reached.items():
            key = tuple(sorted(targets))
            if key not in closures:
                closures[key] = nfa.closure(key)
            yield symbol_class, closures[key]

    rows, subsets = explore(nfa.closure([0]), transitions)
    return minimal(alphabet, rows, [nfa.final in subset for subset in subsets])
