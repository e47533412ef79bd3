"""DFA: a deterministic automaton over classes of symbols, always minimal."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from redraft.errors import ConstraintLimitError
from redraft.grammar.budget import spend
from redraft.grammar.language.alphabet import Alphabet, Ints
from redraft.grammar.language.charset import ANY_CHARACTER, Charset
from redraft.grammar.language.columns import unique_columns
from redraft.grammar.language.minimise import DEAD, breadth_first, minimise

MAX_STATES = 60_000
State = TypeVar("State", bound=Hashable)


@dataclass(frozen=True, eq=False)
class DFA:
    """States 0 (the start) to Q - 1. Each lies on a path from the start to a final state; only the
    start of an empty language does not.

    Attributes:
        table: int32 [Q, classes], the next state, DEAD where there is none.
        final: bool [Q].
    """

    alphabet: Alphabet
    table: Ints
    final: NDArray[np.bool_]

    @property
    def empty(self) -> bool:
        """True where no text is accepted."""
        return not self.final.any()

    @property
    def universal(self) -> bool:
        """True where every text is accepted."""
        one = len(self.table) == 1 and bool(self.final[0])
        return one and any(
            charset & ANY_CHARACTER == ANY_CHARACTER for charset in self.alphabet.charsets
        )

    def accepts(self, text: str | Iterable[int]) -> bool:
        """Return True where the text (or the sequence of symbols) is accepted."""
        state = 0
        for symbol in map(ord, text) if isinstance(text, str) else text:
            symbol_class = self.alphabet.class_of(symbol)
            state = int(self.table[state, symbol_class]) if symbol_class >= 0 else DEAD
            if state == DEAD:
                return False
        return bool(self.final[state])

    @cached_property
    def transitions(self) -> list[tuple[int, Charset, int]]:
        """(state, charset, next state), one for each pair of states with a transition."""
        charsets = self.alphabet.charsets
        unions: dict[tuple[int, ...], Charset] = {}
        found = []
        spend(self.table.size // 4)
        for state, row in enumerate(self.table.tolist()):
            classes: dict[int, list[int]] = {}
            for symbol_class, target in enumerate(row):
                if target != DEAD:
                    classes.setdefault(target, []).append(symbol_class)
            for target, members in sorted(classes.items()):
                key = tuple(members)
                if key not in unions:
                    intervals: list[tuple[int, int]] = []
                    for symbol_class in members:
                        intervals += charsets[symbol_class].intervals
                    unions[key] = Charset.of(intervals)
                found.append((state, unions[key], target))
        return found

    def __and__(self, other: DFA) -> DFA:
        """Return the DFA of the intersection."""
        return _product(self, other, lambda mine, theirs: mine and theirs)

    def __sub__(self, other: DFA) -> DFA:
        """Return the DFA of the difference: texts of this one that are not of the other."""
        return _product(self, other, lambda mine, theirs: mine and not theirs)


def check_states(count: int) -> None:
    """Raise ConstraintError where a DFA would have more than MAX_STATES states."""
    if count > MAX_STATES:
        raise ConstraintLimitError(
            f"the constraint needs more than {MAX_STATES} states, which is too large: "
            "lower its bounds (lengths, repetitions, depth)"
        )


def explore(
    start: State, transitions: Callable[[State], Iterable[tuple[int, State]]]
) -> tuple[list[dict[int, int]], list[State]]:
    """Number all states that are reachable from `start`, breadth first.

    Args:
        transitions: (symbol class, next state) of a state.

    Returns:
        The rows of the transition table, class -> number, and the states in their order.

    Raises:
        ConstraintError: there are more than MAX_STATES.
    """
    numbers, states = {start: 0}, [start]
    rows: list[dict[int, int]] = []
    for state in states:
        row = {}
        for symbol_class, following in transitions(state):
            if following not in numbers:
                check_states(len(states) + 1)
                numbers[following] = len(states)
                states.append(following)
            row[symbol_class] = numbers[following]
        spend(1 + len(row), held=4 + 2 * len(row))
        rows.append(row)
    return rows, states


def minimal(alphabet: Alphabet, rows: Sequence[dict[int, int]], final: Sequence[bool]) -> DFA:
    """Build the minimal DFA of a transition table, with as few classes of symbols as possible."""
    shape = len(rows), max(alphabet.size, 1)
    size = shape[0] * shape[1]
    spend(size // 8, held=size // 12)
    table = np.full(shape, DEAD, dtype=np.int32)
    sizes = [len(row) for row in rows]
    columns = np.fromiter(chain.from_iterable(rows), np.int64, sum(sizes))
    targets = np.fromiter(chain.from_iterable(row.values() for row in rows), np.int64, sum(sizes))
    table[np.repeat(np.arange(len(rows)), sizes), columns] = targets
    return minimal_of_table(alphabet, table, np.array(final, dtype=bool))


def minimal_of_table(alphabet: Alphabet, table: Ints, final: NDArray[np.bool_]) -> DFA:
    """Build the minimal DFA of a transition table whose states are all reachable."""
    return with_few_classes(alphabet, *minimise(table, final))


def with_few_classes(alphabet: Alphabet, table: Ints, final: NDArray[np.bool_]) -> DFA:
    """Build the DFA of the transition table of a minimal one."""
    # Classes with equal columns become one; those that lead nowhere become -1.
    columns, column_of = distinct_columns(table)
    dead = (columns == DEAD).all(axis=0)
    renumbered = np.where(dead, -1, np.cumsum(~dead) - 1)
    classes = np.where(alphabet.classes < 0, -1, renumbered[column_of][alphabet.classes])
    classes = classes.astype(np.int32)
    changes = np.flatnonzero(np.diff(classes, prepend=-2) != 0)
    return DFA(
        Alphabet(alphabet.starts[changes], classes[changes]),
        columns[:, ~dead],
        final,
    )


def distinct_columns(table: Ints) -> tuple[Ints, NDArray[np.int64]]:
    """Return the distinct columns of a table in lexical order, and the index of each column."""
    # As bytes of unsigned numbers, the greatest first, columns have the order of their numbers.
    texts = [row.tobytes() for row in (table.T + np.int32(1)).astype(">u4")]
    order = {text: number for number, text in enumerate(sorted(set(texts)))}
    column_of = np.array([order[text] for text in texts], dtype=np.int64)
    return table[:, np.unique(column_of, return_index=True)[1]], column_of


def joined(one: DFA, other: DFA) -> DFA | None:
    """Return the minimal DFA of the texts of one DFA, each with one of another behind it.

    None where a symbol that may follow a text of the first could belong to either.
    """
    if one.empty or other.empty:
        return one if one.empty else other
    starts, pairs = _common_classes(one.alphabet, other.alphabet)
    inside = (pairs >= 0).any(axis=0)
    found, number = unique_columns(pairs[:, inside])
    classes = np.full(len(starts), -1, dtype=np.int32)
    classes[inside] = number.reshape(-1)
    # One column more, for classes that an alphabet lacks.
    dead = [np.full((len(dfa.table), 1), DEAD, dtype=np.int32) for dfa in (one, other)]
    own = np.hstack([one.table, dead[0]])[:, found[0]]
    behind = np.hstack([other.table, dead[1]])[:, found[1]]
    behind = np.where(behind == DEAD, DEAD, behind + len(own))
    check_states(len(own) + len(behind))
    spend((own.size + behind.size) // 8, held=(own.size + behind.size) // 12)
    ends = own[one.final]
    if ((ends != DEAD) & (behind[0] != DEAD)).any():
        return None
    own[one.final] = np.where(ends == DEAD, behind[0], ends)
    (last, *more) = np.flatnonzero(one.final).tolist()
    start = 0
    if not more and (ends == DEAD).all():
        # The end of the first is the start of the other: one state.
        own[own == last] = len(own)
        start = len(own) if last == 0 else 0
    table = np.vstack([own, behind]).astype(np.int32)
    final = np.append(one.final & other.final[0], other.final)
    table, final = breadth_first(table, final, start)
    # Where one of them has only texts of one length, symbol by symbol, no states become equivalent:
    # cut off at the end, texts differ as before; at the front, the last symbol's state decides.
    is_minimal = _is_chain(other)
    if not is_minimal and _is_chain(one):
        same = (behind == own[-2]).all(axis=1) & ~other.final if len(own) > 1 else other.final[:0]
        is_minimal = not same.any()
    build = with_few_classes if is_minimal else minimal_of_table
    return build(Alphabet(starts, classes), table, final)


def _is_chain(dfa: DFA) -> bool:
    """Return True where each state leads to the next one only, and the last one alone is final."""
    states = np.arange(len(dfa.table))[:, None]
    leads_on = (dfa.table == DEAD) | (dfa.table == states + 1)
    return bool(leads_on.all()) and not dfa.final[:-1].any() and bool(dfa.final[-1])


def or_nothing(dfa: DFA) -> DFA | None:
    """Return the minimal DFA of the texts of another one and the empty text.

    None where a transition leads back to the start.
    """
    if dfa.final[0]:
        return dfa
    if (dfa.table == 0).any() or dfa.empty:
        return None
    final = dfa.final | (np.arange(len(dfa.final)) == 0)
    same = np.flatnonzero((dfa.table == dfa.table[0]).all(axis=1) & dfa.final)
    start = int(same[0]) if len(same) else 0
    return with_few_classes(dfa.alphabet, *breadth_first(dfa.table, final, start))


def _common_classes(one: Alphabet, other: Alphabet) -> tuple[NDArray[np.int64], Ints]:
    """Return where the classes of two alphabets begin, and the class of each there [2, n]."""
    starts = np.union1d(one.starts, other.starts)

    def at_starts(alphabet: Alphabet) -> Ints:
        return alphabet.classes[np.searchsorted(alphabet.starts, starts, side="right") - 1]

    return starts, np.stack([at_starts(one), at_starts(other)])


def _product(one: DFA, other: DFA, combine: Callable[[bool, bool], bool]) -> DFA:
    """Return the product automaton.

    A state of `other` may be DEAD, one of `one` may not: a text that `one` rejects is never
    accepted.
    """
    starts, pairs = _common_classes(one.alphabet, other.alphabet)
    inside = pairs[0] >= 0
    found, number = unique_columns(pairs[:, inside])
    classes = np.full(len(starts), -1, dtype=np.int32)
    classes[inside] = number
    class_pairs = found.T.tolist()

    def transitions(state: tuple[int, int]) -> Iterator[tuple[int, tuple[int, int]]]:
        mine, theirs = state
        spend(len(class_pairs))
        for symbol_class, (left, right) in enumerate(class_pairs):
            following = int(one.table[mine, left])
            if following != DEAD:
                alive = theirs != DEAD and right >= 0
                yield symbol_class, (following, int(other.table[theirs, right]) if alive else DEAD)

    rows, states = explore((0, 0), transitions)
    final = [
        combine(bool(one.final[mine]), theirs != DEAD and bool(other.final[theirs]))
        for mine, theirs in states
    ]
    return minimal(Alphabet(starts, classes), rows, final)
