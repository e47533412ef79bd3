"""DFA: a deterministic one over classes of symbols, from an expression."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from redraft.errors import ConstraintError
from redraft.grammar.language.alphabet import Alphabet, Ints
from redraft.grammar.language.charset import ANY, Charset
from redraft.grammar.language.expression import Expression
from redraft.grammar.language.minimise import minimise
from redraft.grammar.language.nfa import Parts

DEAD = -1
MOST_STATES = 20_000
State = TypeVar("State", bound=Hashable)


@dataclass(frozen=True, eq=False)
class DFA:
    """States 0 (the start) to Q - 1, all on a way from the start to an end, but for an empty
    language's start.

    table: int32 [Q, classes], the next state, DEAD where there is none. final: bool [Q].
    """

    alphabet: Alphabet
    table: Ints
    final: NDArray[np.bool_]

    @classmethod
    def of(cls, expression: Expression) -> DFA:
        """The least automaton of an expression.

        Raises:
            ConstraintError: it would have more than MOST_STATES states, or the expression is nested
                too deeply.
        """
        try:
            return _determinised(Parts(expression))
        except RecursionError:
            raise ConstraintError("too deeply nested for an automaton") from None

    @property
    def empty(self) -> bool:
        """Whether it has no text at all."""
        return not self.final.any()

    @property
    def universal(self) -> bool:
        """Whether every text is one of its own."""
        one = len(self.table) == 1 and bool(self.final[0])
        return one and any(charset & ANY == ANY for charset in self.alphabet.charsets)

    def accepts(self, text: str | Iterable[int]) -> bool:
        """Whether a text (or a sequence of symbols) is one of its own."""
        state = 0
        for symbol in map(ord, text) if isinstance(text, str) else text:
            kind = self.alphabet.kind(symbol)
            state = int(self.table[state, kind]) if kind >= 0 else DEAD
            if state == DEAD:
                return False
        return bool(self.final[state])

    def arcs(self) -> Iterator[tuple[int, Charset, int]]:
        """All transitions, those between the same states as one."""
        for state, row in enumerate(self.table):
            for target in np.unique(row[row != DEAD]).tolist():
                kinds = np.flatnonzero(row == target).tolist()
                yield (
                    state,
                    Charset.of(
                        pair for kind in kinds for pair in self.alphabet.charsets[kind].intervals
                    ),
                    target,
                )

    def __and__(self, other: DFA) -> DFA:
        """Texts of both."""
        return _product(self, other, lambda mine, theirs: mine and theirs)

    def __sub__(self, other: DFA) -> DFA:
        """Texts of this one that are none of the other."""
        return _product(self, other, lambda mine, theirs: mine and not theirs)


def walked(
    start: State, arcs: Callable[[State], Iterable[tuple[int, State]]]
) -> tuple[list[dict[int, int]], list[State]]:
    """All states that arcs (class, state) lead to from a start: the rows of their table, and
    themselves in its order.

    Raises:
        ConstraintError: there are more than MOST_STATES.
    """
    numbers, order = {start: 0}, [start]
    rows: list[dict[int, int]] = []
    for state in order:
        row = {}
        for kind, following in arcs(state):
            if following not in numbers:
                if len(order) == MOST_STATES:
                    raise ConstraintError(
                        f"more than {MOST_STATES} states: too large for an automaton; lower its bounds (of lengths, "
                        "repetitions, depth)"
                    )
                numbers[following] = len(order)
                order.append(following)
            row[kind] = numbers[following]
        rows.append(row)
    return rows, order


def _determinised(parts: Parts) -> DFA:
    """The subset construction."""
    charsets = list({charset: None for arcs in parts.arcs for charset, _ in arcs})
    alphabet = Alphabet.separating(charsets)
    kinds_of = {charset: alphabet.kinds_of(charset) for charset in charsets}
    closed: dict[tuple[int, ...], frozenset[int]] = {}

    def arcs(subset: frozenset[int]) -> Iterator[tuple[int, frozenset[int]]]:
        reached: dict[int, list[int]] = {}
        for state in subset:
            for charset, target in parts.arcs[state]:
                for kind in kinds_of[charset]:
                    reached.setdefault(kind, []).append(target)
        for kind, targets in reached.items():
            key = tuple(sorted(targets))
            if key not in closed:
                closed[key] = parts.closure(key)
            yield kind, closed[key]

    rows, order = walked(parts.closure([0]), arcs)
    return least(alphabet, rows, [parts.end in subset for subset in order])


def _product(one: DFA, other: DFA, final: Callable[[bool, bool], bool]) -> DFA:
    """Both read together; a state of `other` may be dead, one of `one` not."""
    starts = np.union1d(one.alphabet.starts, other.alphabet.starts)

    def kinds(alphabet: Alphabet) -> Ints:
        return alphabet.kinds[np.searchsorted(alphabet.starts, starts, side="right") - 1]

    pairs = np.stack([kinds(one.alphabet), kinds(other.alphabet)])
    inside = pairs[0] >= 0
    found, merged = np.unique(pairs[:, inside], axis=1, return_inverse=True)
    all_kinds = np.full(len(starts), -1, dtype=np.int32)
    all_kinds[inside] = merged
    both = found.T.tolist()

    def arcs(state: tuple[int, int]) -> Iterator[tuple[int, tuple[int, int]]]:
        mine, theirs = state
        for kind, (left, right) in enumerate(both):
            following = int(one.table[mine, left])
            if following != DEAD:
                alive = theirs != DEAD and right >= 0
                yield kind, (following, int(other.table[theirs, right]) if alive else DEAD)

    rows, order = walked((0, 0), arcs)
    ends = [
        final(bool(one.final[mine]), theirs != DEAD and bool(other.final[theirs]))
        for mine, theirs in order
    ]
    return least(Alphabet(starts, all_kinds), rows, ends)


def least(alphabet: Alphabet, rows: Sequence[dict[int, int]], ends: Sequence[bool]) -> DFA:
    """Minimised, with as few classes as make a difference."""
    rows, ends = minimise(rows, ends)
    table = np.full((len(rows), max(alphabet.size, 1)), DEAD, dtype=np.int32)
    for state, row in enumerate(rows):
        for kind, target in row.items():
            table[state, kind] = target
    columns, merged = np.unique(table, axis=1, return_inverse=True)
    merged = merged.reshape(-1)
    dead = (columns == DEAD).all(axis=0)
    renumbered = np.where(dead, -1, np.cumsum(~dead) - 1)
    kinds = np.where(alphabet.kinds < 0, -1, renumbered[merged][alphabet.kinds]).astype(np.int32)
    changes = np.flatnonzero(np.diff(kinds, prepend=-2) != 0)
    return DFA(
        Alphabet(alphabet.starts[changes], kinds[changes]),
        columns[:, ~dead],
        np.array(ends, dtype=bool),
    )
