"""Automata that are made without an expression: from a list of texts, from a function, from another
automaton."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from redraft.errors import ConstraintError
from redraft.grammar.language.alphabet import Alphabet
from redraft.grammar.language.charset import Charset
from redraft.grammar.language.dfa import DEAD, DFA, least, walked

State = TypeVar("State", bound=Hashable)


def explored(
    start: State,
    after: Callable[[State, str], State | None],
    ends: Callable[[State], bool],
    symbols: str,
) -> DFA:
    """The automaton over some characters whose states are whatever `after` makes of them."""
    alphabet = Alphabet.separating([Charset.chars(symbol) for symbol in symbols])
    kinds = [alphabet.kind(ord(symbol)) for symbol in symbols]

    def arcs(state: State) -> Iterator[tuple[int, State]]:
        for symbol, kind in zip(symbols, kinds, strict=True):
            following = after(state, symbol)
            if following is not None:
                yield kind, following

    rows, order = walked(start, arcs)
    return least(alphabet, rows, [ends(state) for state in order])


def listed(texts: Iterable[str]) -> DFA:
    """The automaton of some texts, laid out by their common beginnings: many are no more work than
    their characters.

    Raises:
        ConstraintError: one of them holds half a surrogate pair.
    """
    texts = list(dict.fromkeys(texts))
    symbols = sorted({char for text in texts for char in text})
    if any("\ud800" <= char <= "\udfff" for char in symbols):
        raise ConstraintError("a text holds half a surrogate pair, which no text can")
    alphabet = Alphabet.separating([Charset.chars(symbol) for symbol in symbols])
    kinds = {symbol: alphabet.kind(ord(symbol)) for symbol in symbols}
    rows: list[dict[int, int]] = [{}]
    ends = [False]
    for text in texts:
        state = 0
        for char in text:
            if kinds[char] not in rows[state]:
                rows[state][kinds[char]] = len(rows)
                rows.append({})
                ends.append(False)
            state = rows[state][kinds[char]]
        ends[state] = True
    return least(alphabet, rows, ends)


def rebased(automaton: DFA, start: int, final: NDArray[np.bool_]) -> DFA:
    """The same transitions from another start to other ends."""
    order = [start, *(state for state in range(len(automaton.table)) if state != start)]
    number = {state: at for at, state in enumerate(order)}
    rows = [
        {k: number[t] for k, t in enumerate(automaton.table[s].tolist()) if t != DEAD}
        for s in order
    ]
    return least(automaton.alphabet, rows, [bool(final[state]) for state in order])
