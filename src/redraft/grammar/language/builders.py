"""DFAs that are built without an expression: from texts, from a step function, from a DFA."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from redraft.grammar.budget import spend
from redraft.grammar.language.alphabet import Alphabet
from redraft.grammar.language.charset import Charset
from redraft.grammar.language.dfa import DFA, check_states, explore, minimal
from redraft.grammar.language.expression import check_no_surrogate
from redraft.grammar.language.minimise import DEAD, breadth_first

State = TypeVar("State", bound=Hashable)


def dfa_from_step(
    start: State,
    step: Callable[[State, str], State | None],
    is_final: Callable[[State], bool],
    symbols: str,
) -> DFA:
    """Build the DFA whose states are the values of a step function.

    Args:
        step: the state after one more symbol, None where the symbol is not allowed.
        symbols: all characters that a text may have.

    Raises:
        ConstraintError: there are too many states.
    """
    alphabet = Alphabet.separating([Charset.chars(symbol) for symbol in symbols])
    classes = [alphabet.class_of(ord(symbol)) for symbol in symbols]

    def transitions(state: State) -> Iterator[tuple[int, State]]:
        for symbol, symbol_class in zip(symbols, classes, strict=True):
            following = step(state, symbol)
            if following is not None:
                yield symbol_class, following

    rows, states = explore(start, transitions)
    return minimal(alphabet, rows, [is_final(state) for state in states])


def counted(charset: Charset, minimum: int, maximum: int | None) -> DFA:
    """Build the DFA of `minimum` to `maximum` symbols of a set, which is minimal as it is built.

    Raises:
        ConstraintError: there are too many states.
    """
    last = minimum if maximum is None else maximum
    check_states(last + 1)
    table = np.arange(1, last + 2, dtype=np.int32).reshape(-1, 1)
    table[last] = last if maximum is None else DEAD
    final = np.arange(last + 1) >= minimum
    if last == 0 and maximum == 0:
        table = table[:, :0]
    return DFA(Alphabet.separating([charset]), table, final)


def dfa_of_texts(texts: Iterable[str]) -> DFA:
    """Build the DFA of a list of texts by way of their trie, in time linear in their characters.

    Raises:
        ConstraintError: a text holds half a surrogate pair.
    """
    texts = list(dict.fromkeys(texts))
    for text in texts:
        check_no_surrogate(text)
    symbols = sorted(set[str]().union(*texts))
    alphabet = Alphabet.separating([Charset.chars(symbol) for symbol in symbols])
    class_of = {symbol: alphabet.class_of(ord(symbol)) for symbol in symbols}
    rows: list[dict[int, int]] = [{}]
    final = [False]
    for text in texts:
        spend(len(text))
        state = 0
        for char in text:
            if class_of[char] not in rows[state]:
                spend(1, held=5)
                rows[state][class_of[char]] = len(rows)
                rows.append({})
                final.append(False)
            state = rows[state][class_of[char]]
        final[state] = True
    return minimal(alphabet, rows, final)


def dfa_from_state(dfa: DFA, start: int) -> DFA:
    """Build the DFA with the same transitions and another start; a minimal one stays minimal."""
    return DFA(dfa.alphabet, *breadth_first(dfa.table, dfa.final, start))
