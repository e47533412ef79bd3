"""NFA: an expression as states with transitions and epsilon transitions (Thompson 1968)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from redraft.errors import ConstraintLimitError
from redraft.grammar.budget import spend
from redraft.grammar.language.charset import Charset
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import (
    Concat,
    Expression,
    Language,
    Repeat,
    Symbol,
    Union,
)

MAX_NFA_STATES = 400_000


class NFA:
    """A nondeterministic automaton with one start, state 0, and one final state.

    Attributes:
        transitions: (charset, next state) of each state.
        epsilon: the states that each state reaches without reading a symbol.
        final: the final state.

    Raises:
        ConstraintError: there are more than MAX_NFA_STATES states.
        RecursionError: the expression is nested too deeply.
    """

    def __init__(self, expression: Expression) -> None:
        self.transitions: list[list[tuple[Charset, int]]] = [[]]
        self.epsilon: list[list[int]] = [[]]
        self.final = self._add(expression, 0)

    def _state(self) -> int:
        """Add a state and return its number."""
        if len(self.transitions) >= MAX_NFA_STATES:
            raise ConstraintLimitError(
                f"the constraint needs more than {MAX_NFA_STATES} NFA states, which is too large: "
                "lower its bounds (lengths, repetitions, depth)"
            )
        spend(1, held=3)
        self.transitions.append([])
        self.epsilon.append([])
        return len(self.transitions) - 1

    def _add(self, expression: Expression, start: int) -> int:
        """Add the states of an expression that begins in `start`; return the state it ends in."""
        match expression:
            case Symbol(charset):
                end = self._state()
                self.transitions[start].append((charset, end))
            case Concat(items):
                end = start
                for item in items:
                    end = self._add(item, end)
            case Union(items):
                end = self._state()
                for item in items:
                    begin = self._state()
                    self.epsilon[start].append(begin)
                    self.epsilon[self._add(item, begin)].append(end)
            case Repeat(item, minimum, maximum):
                end = self._add_repeat(item, minimum, maximum, start)
            case Language(dfa, spell):
                end = self._add_dfa(dfa, start, spell)
        return end

    def _add_repeat(self, item: Expression, minimum: int, maximum: int | None, start: int) -> int:
        at = start
        for _ in range(minimum):
            before = at
            at = self._add(item, at)
            if at == before:  # the item is the empty text: more of it changes nothing
                return at
        end = self._state()
        if maximum is None:
            loop = self._state()
            self.epsilon[at].append(loop)
            self.epsilon[self._add(item, loop)].append(loop)
            self.epsilon[loop].append(end)
            return end
        self.epsilon[at].append(end)
        for _ in range(maximum - minimum):
            before = at
            at = self._add(item, at)
            if at == before:
                break
            self.epsilon[at].append(end)
        return end

    def _add_dfa(self, dfa: DFA, start: int, spell: Callable[[Charset], Expression] | None) -> int:
        states = [self._state() for _ in range(len(dfa.table))]
        end = self._state()
        self.epsilon[start].append(states[0])
        for state, charset, target in dfa.transitions:
            if spell is None:
                self.transitions[states[state]].append((charset, states[target]))
            else:
                self.epsilon[self._add(spell(charset), states[state])].append(states[target])
        for state in np.flatnonzero(dfa.final).tolist():
            self.epsilon[states[state]].append(end)
        return end

    def closure(self, states: Iterable[int]) -> frozenset[int]:
        """Return the epsilon closure: the states, and all that epsilon transitions reach."""
        found = set(states)
        left = list(found)
        while left:
            for target in self.epsilon[left.pop()]:
                if target not in found:
                    found.add(target)
                    left.append(target)
        spend(len(found), held=len(found))
        return frozenset(found)
