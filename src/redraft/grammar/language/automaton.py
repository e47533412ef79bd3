"""Automaton: a deterministic one over classes of symbols, from an expression."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from redraft.errors import ConstraintError
from redraft.grammar.language.charset import ANY, Charset
from redraft.grammar.language.expression import Chain, Either, Expression, One, Repeat, Texts
from redraft.grammar.language.minimise import minimise

Ints = NDArray[np.int32]
State = TypeVar("State", bound=Hashable)
DEAD = -1
MOST_STATES = 20_000
MOST_PARTS = 400_000  # states before they are made deterministic


@dataclass(frozen=True, eq=False)
class Alphabet:
    """Symbols by class: those of a class are alike to an automaton.

    starts: int64 [I], the first symbol of each interval, ascending from 0. kinds: int32 [I], the class of each, -1 for symbols
    that no text has.
    """

    starts: NDArray[np.int64]
    kinds: Ints

    @property
    def size(self) -> int:
        return int(self.kinds.max(initial=-1)) + 1

    def kind(self, symbol: int) -> int:
        """The class of a symbol."""
        return int(self.kinds[np.searchsorted(self.starts, symbol, side="right") - 1])

    @cached_property
    def charsets(self) -> list[Charset]:
        """The symbols of each class."""
        ends = [*(self.starts[1:] - 1).tolist(), 1 << 40]
        intervals: list[list[tuple[int, int]]] = [[] for _ in range(self.size)]
        for first, last, kind in zip(self.starts.tolist(), ends, self.kinds.tolist(), strict=True):
            if kind >= 0:
                intervals[kind].append((first, last))
        return [Charset.of(found) for found in intervals]

    @classmethod
    def separating(cls, charsets: Sequence[Charset]) -> Alphabet:
        """The coarsest one in which every set is a union of classes."""
        starts = np.unique([0, *(edge for one in charsets for first, last in one.intervals for edge in (first, last + 1))])
        members = np.zeros((len(charsets), len(starts)), dtype=bool)
        for row, one in zip(members, charsets, strict=True):
            for first, last in one.intervals:
                row[np.searchsorted(starts, first) : np.searchsorted(starts, last + 1)] = True
        inside = members.any(axis=0)
        kinds = np.full(len(starts), -1, dtype=np.int32)
        if inside.any():
            _, kinds[inside] = np.unique(members[:, inside], axis=1, return_inverse=True)
        return cls(starts, kinds)


@dataclass(frozen=True, eq=False)
class Automaton:
    """States 0 (the start) to Q - 1, all on a way from the start to an end, but for an empty language's start.

    table: int32 [Q, classes], the next state, DEAD where there is none. final: bool [Q].
    """

    alphabet: Alphabet
    table: Ints
    final: NDArray[np.bool_]

    @classmethod
    def of(cls, expression: Expression) -> Automaton:
        """The least automaton of an expression.

        Raises:
            ConstraintError: it would have more than MOST_STATES states, or the expression is nested too deeply.
        """
        try:
            return _determinised(_Parts(expression))
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
                yield state, Charset.of(pair for kind in kinds for pair in self.alphabet.charsets[kind].intervals), target

    def __and__(self, other: Automaton) -> Automaton:
        """Texts of both."""
        return _product(self, other, lambda mine, theirs: mine and theirs)

    def __sub__(self, other: Automaton) -> Automaton:
        """Texts of this one that are none of the other."""
        return _product(self, other, lambda mine, theirs: mine and not theirs)


def explored(
    start: State, after: Callable[[State, str], State | None], ends: Callable[[State], bool], symbols: str
) -> Automaton:
    """The automaton over some characters whose states are whatever `after` makes of them."""
    alphabet = Alphabet.separating([Charset.chars(symbol) for symbol in symbols])
    kinds = [alphabet.kind(ord(symbol)) for symbol in symbols]
    numbers, order = {start: 0}, [start]
    rows: list[dict[int, int]] = []
    for state in order:
        row = {}
        for symbol, kind in zip(symbols, kinds, strict=True):
            following = after(state, symbol)
            if following is None:
                continue
            if following not in numbers:
                numbers[following] = len(order)
                order.append(following)
                _check_size(len(order))
            row[kind] = numbers[following]
        rows.append(row)
    return _least(alphabet, rows, [ends(state) for state in order])


def listed(texts: Iterable[str]) -> Automaton:
    """The automaton of some texts, laid out by their common beginnings: many are no more work than their characters.

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
    return _least(alphabet, rows, ends)


def rebased(automaton: Automaton, start: int, final: NDArray[np.bool_]) -> Automaton:
    """The same transitions from another start to other ends."""
    order = [start, *(state for state in range(len(automaton.table)) if state != start)]
    number = {state: at for at, state in enumerate(order)}
    rows = [{k: number[t] for k, t in enumerate(automaton.table[s].tolist()) if t != DEAD} for s in order]
    return _least(automaton.alphabet, rows, [bool(final[state]) for state in order])


class _Parts:
    """Thompson's construction: states with arcs and silent steps, 0 the start."""

    def __init__(self, expression: Expression) -> None:
        self.arcs: list[list[tuple[Charset, int]]] = [[]]
        self.silent: list[list[int]] = [[]]
        self.end = self.add(expression, 0)

    def state(self) -> int:
        if len(self.arcs) >= MOST_PARTS:
            raise ConstraintError("too large for an automaton: lower its bounds (of lengths, repetitions, depth)")
        self.arcs.append([])
        self.silent.append([])
        return len(self.arcs) - 1

    def add(self, expression: Expression, start: int) -> int:
        """Lay an expression out behind `start`; returns where it ends."""
        match expression:
            case One(of):
                end = self.state()
                self.arcs[start].append((of, end))
            case Chain(parts):
                end = start
                for part in parts:
                    end = self.add(part, end)
            case Either(parts):
                end = self.state()
                for part in parts:
                    begin = self.state()
                    self.silent[start].append(begin)
                    self.silent[self.add(part, begin)].append(end)
            case Repeat(part, least, most):
                end = self._repeat(part, least, most, start)
            case Texts(automaton, spell):
                end = self._texts(automaton, start, spell)
        return end

    def _repeat(self, part: Expression, least: int, most: int | None, start: int) -> int:
        at = start
        for _ in range(least):
            before = at
            at = self.add(part, at)
            if at == before:  # the part is the empty text
                return at
        end = self.state()
        if most is None:
            loop = self.state()
            self.silent[at].append(loop)
            self.silent[self.add(part, loop)].append(loop)
            self.silent[loop].append(end)
            return end
        self.silent[at].append(end)
        for _ in range(most - least):
            before = at
            at = self.add(part, at)
            if at == before:
                break
            self.silent[at].append(end)
        return end

    def _texts(self, automaton: Automaton, start: int, spell: Callable[[Charset], Expression] | None) -> int:
        states = [self.state() for _ in range(len(automaton.table))]
        end = self.state()
        self.silent[start].append(states[0])
        for state, charset, target in automaton.arcs():
            if spell is None:
                self.arcs[states[state]].append((charset, states[target]))
            else:
                self.silent[self.add(spell(charset), states[state])].append(states[target])
        for state in np.flatnonzero(automaton.final).tolist():
            self.silent[states[state]].append(end)
        return end

    def closure(self, states: Iterable[int]) -> frozenset[int]:
        """These states and all that silent steps lead to."""
        found = set(states)
        left = list(found)
        while left:
            for target in self.silent[left.pop()]:
                if target not in found:
                    found.add(target)
                    left.append(target)
        return frozenset(found)


def _determinised(parts: _Parts) -> Automaton:
    """The subset construction."""
    charsets = list({charset: None for arcs in parts.arcs for charset, _ in arcs})
    alphabet = Alphabet.separating(charsets)
    kinds_of = {charset: _kinds(alphabet, charset) for charset in charsets}
    closed: dict[tuple[int, ...], frozenset[int]] = {}
    first = parts.closure([0])
    numbers, order = {first: 0}, [first]
    table: list[dict[int, int]] = []
    for subset in order:
        reached: dict[int, list[int]] = {}
        for state in subset:
            for charset, target in parts.arcs[state]:
                for kind in kinds_of[charset]:
                    reached.setdefault(kind, []).append(target)
        row = {}
        for kind, targets in reached.items():
            key = tuple(sorted(targets))
            if key not in closed:
                closed[key] = parts.closure(key)
            following = closed[key]
            if following not in numbers:
                numbers[following] = len(order)
                order.append(following)
                _check_size(len(order))
            row[kind] = numbers[following]
        table.append(row)
    return _least(alphabet, table, [parts.end in subset for subset in order])


def _kinds(alphabet: Alphabet, charset: Charset) -> list[int]:
    found = set()
    for first, last in charset.intervals:
        begin, end = np.searchsorted(alphabet.starts, [first, last + 1])
        found.update(alphabet.kinds[begin:end].tolist())
    return sorted(found)


def _product(one: Automaton, other: Automaton, final: Callable[[bool, bool], bool]) -> Automaton:
    """Both read together; a state of `other` may be dead, one of `one` not."""
    starts = np.union1d(one.alphabet.starts, other.alphabet.starts)

    def kinds(alphabet: Alphabet) -> Ints:
        return alphabet.kinds[np.searchsorted(alphabet.starts, starts, side="right") - 1]

    pairs = np.stack([kinds(one.alphabet), kinds(other.alphabet)])
    inside = pairs[0] >= 0
    found, merged = np.unique(pairs[:, inside], axis=1, return_inverse=True)
    all_kinds = np.full(len(starts), -1, dtype=np.int32)
    all_kinds[inside] = merged
    numbers, order = {(0, 0): 0}, [(0, 0)]
    table: list[dict[int, int]] = []
    for mine, theirs in order:
        row = {}
        for kind, (left, right) in enumerate(found.T.tolist()):
            next_mine = int(one.table[mine, left])
            next_theirs = int(other.table[theirs, right]) if theirs != DEAD and right >= 0 else DEAD
            if next_mine == DEAD:
                continue
            key = (next_mine, next_theirs)
            if key not in numbers:
                numbers[key] = len(order)
                order.append(key)
                _check_size(len(order))
            row[kind] = numbers[key]
        table.append(row)
    ends = [final(bool(one.final[mine]), theirs != DEAD and bool(other.final[theirs])) for mine, theirs in order]
    return _least(Alphabet(starts, all_kinds), table, ends)


def _least(alphabet: Alphabet, rows: Sequence[dict[int, int]], ends: Sequence[bool]) -> Automaton:
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
    return Automaton(Alphabet(alphabet.starts[changes], kinds[changes]), columns[:, ~dead], np.array(ends, dtype=bool))


def _check_size(states: int) -> None:
    if states > MOST_STATES:
        raise ConstraintError(
            f"more than {MOST_STATES} states: too large for an automaton; lower its bounds (of lengths, repetitions, depth)"
        )
