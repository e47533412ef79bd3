"""From an expression to its minimal DFA: expression -> NFA -> subset construction -> minimise."""

from __future__ import annotations

from collections.abc import Iterator

from redraft.errors import ConstraintError
from redraft.grammar.budget import spend
from redraft.grammar.language.alphabet import Alphabet
from redraft.grammar.language.charset import Charset
from redraft.grammar.language.dfa import DFA, explore, minimal
from redraft.grammar.language.expression import Expression, Language
from redraft.grammar.language.nfa import NFA


def minimal_dfa(expression: Expression) -> DFA:
    """Return the minimal DFA of an expression.

    Raises:
        ConstraintError: it would be too large, or the expression is nested too deeply.
    """
    if isinstance(expression, Language) and expression.spell is None:
        return expression.dfa
    try:
        return _determinised(NFA(expression))
    except RecursionError:
        raise ConstraintError("the constraint is nested too deeply") from None


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
