"""Parts: an expression laid out as states with arcs and silent steps (Thompson's construction)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from redraft.errors import ConstraintError
from redraft.grammar.language.charset import Charset
from redraft.grammar.language.expression import Chain, Either, Expression, One, Repeat, Texts

if TYPE_CHECKING:
    from redraft.grammar.language.dfa import DFA

MOST_PARTS = 400_000  # states before they are made deterministic


class Parts:
    """States 0 (the start) to N - 1, and the one end."""

    def __init__(self, expression: Expression) -> None:
        self.arcs: list[list[tuple[Charset, int]]] = [[]]
        self.silent: list[list[int]] = [[]]
        self.end = self.add(expression, 0)

    def state(self) -> int:
        if len(self.arcs) >= MOST_PARTS:
            raise ConstraintError(
                "too large for an automaton: lower its bounds (of lengths, repetitions, depth)"
            )
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

    def _texts(
        self, automaton: DFA, start: int, spell: Callable[[Charset], Expression] | None
    ) -> int:
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
