"""DFAs that are joined as they stand, against the subset construction."""

from __future__ import annotations

import random

import pytest

from redraft.grammar.language import determinise
from redraft.grammar.language.determinise import _determinised, _joined, minimal_dfa
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import (
    Expression,
    Language,
    concat,
    literal,
    optional,
    union,
)
from redraft.grammar.language.nfa import NFA
from redraft.grammar.regex import regex_fullmatch

PATTERNS = ["a*b+", "(ab|c)*", "a{2,4}c?", "[ab]*c[ab]*", "(a|b){0,3}", "x", "a+(bc)?y", "[^a]{2}q"]


def expression(rng: random.Random, depth: int = 0) -> Expression:
    kind = rng.random()
    if depth > 3 or kind < 0.4:
        return Language(_determinised(NFA(regex_fullmatch(rng.choice(PATTERNS)))))
    if kind < 0.5:
        return literal(rng.choice(["", "a", "{", "xy"]))
    if kind < 0.6:
        return optional(expression(rng, depth + 1))
    if kind < 0.7:
        return union([expression(rng, depth + 1), expression(rng, depth + 1)])
    return concat(*[expression(rng, depth + 1) for _ in range(rng.randint(1, 4))])


def are_alike(one: DFA, other: DFA) -> bool:
    """Whether two minimal DFAs differ by the numbers of their states only."""
    starts = {*one.alphabet.starts.tolist(), *other.alphabet.starts.tolist()}
    number, left = {0: 0}, [0]
    while left:
        state = left.pop()
        if one.final[state] != other.final[number[state]]:
            return False
        for symbol in starts:
            pair = (one, state), (other, number[state])
            mine, theirs = (follow(dfa, at, symbol) for dfa, at in pair)
            if mine not in number and mine >= 0:
                left.append(mine)
            if number.setdefault(mine, theirs) != theirs or (mine < 0) != (theirs < 0):
                return False
    return one.table.shape == other.table.shape


def follow(dfa: DFA, state: int, symbol: int) -> int:
    column = dfa.alphabet.class_of(symbol)
    return int(dfa.table[state, column]) if column >= 0 else -1


def test_joined_automata_are_the_minimal_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(determinise, "LARGE", 2)
    rng, count = random.Random(1), 0
    for _ in range(250):
        given = expression(rng)
        assert are_alike(_determinised(NFA(given)), minimal_dfa(given)), given
        count += _joined(given) is not None
    assert count > 20
