"""From rules to an expression.

Recursion at the ends of a rule is repetition, and stays without a limit: X: X a | b X | c is b* c a*, and X: X a X | c is
c (a c)*. Recursion in the middle nests, to a depth, which makes the language a regular one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from redraft.errors import ConstraintError
from redraft.grammar import regex
from redraft.grammar.language.automaton import Automaton
from redraft.grammar.language.expression import EMPTY, NOTHING, Expression, Repeat, Texts, chain, either

Symbols = tuple[Any, ...]  # of Lark: terminals and rules


class Compiler:
    """Compiles the rules of one grammar, read by Lark."""

    def __init__(self, parser: Any, depth: int) -> None:
        self.depth = depth
        self.rules: dict[str, list[Symbols]] = defaultdict(list)
        for rule in parser.rules:
            self.rules[str(rule.origin.name)].append(tuple(rule.expansion))
        self.patterns = {terminal.name: terminal.pattern for terminal in parser.terminals}
        self._terminals: dict[str, Expression] = {}
        ignored = [self._pattern(name) for name in parser.ignore_tokens]
        self.ignored = Texts(Automaton.of(either([*ignored, EMPTY]))) if ignored else EMPTY
        self.reached = {name: self._reached(name) for name in self.rules}
        self._open: Counter[str] = Counter()
        self._done: dict[tuple[Any, ...], Automaton] = {}

    def automaton(self, start: str) -> Automaton:
        """The texts of a rule."""
        try:
            return Automaton.of(self.rule(start))
        except RecursionError:
            raise ConstraintError("grammar: it is nested too deeply") from None

    def rule(self, name: str) -> Expression:
        """What a rule derives where the rules that are open now are open."""
        if self._open[name] > self.depth:
            return NOTHING
        key = name, tuple(sorted((other, count) for other, count in (+self._open).items() if other in self.reached[name]))
        if key not in self._done:
            self._open[name] += 1
            self._done[key] = Automaton.of(self._alternatives(name))
            self._open[name] -= 1
        return Texts(self._done[key])

    def _alternatives(self, name: str) -> Expression:
        heads, tails, doubles, plain = [], [], [], []
        for symbols in self.rules[name]:
            left, right = _is(symbols[:1], name), _is(symbols[-1:], name)
            if len(symbols) == 1 and left:
                continue
            if left and right:
                doubles.append(symbols[1:-1])
            elif left:
                tails.append(symbols[1:])
            elif right:
                heads.append(symbols[:-1])
            else:
                plain.append(symbols)
        core = chain(Repeat(self._any(heads)), self._any(plain)) if heads else self._any(plain)
        if doubles or tails:
            more = either([self._any(tails), chain(self._any(doubles), core)])
            return chain(core, Repeat(more))
        return core

    def _any(self, alternatives: list[Symbols]) -> Expression:
        return either([chain(*(self._symbol(symbol) for symbol in symbols)) for symbols in alternatives])

    def _symbol(self, symbol: Any) -> Expression:
        if not symbol.is_term:
            return self.rule(str(symbol.name))
        found = self._pattern(str(symbol.name))
        return found if self.ignored is EMPTY else chain(self.ignored, found)

    def _pattern(self, name: str) -> Expression:
        """A terminal."""
        if name not in self._terminals:
            if name not in self.patterns:
                raise ConstraintError(f"grammar: the terminal {name} has no pattern")
            try:
                found = Automaton.of(regex.whole(self.patterns[name].to_regexp()))
            except ConstraintError as error:
                raise ConstraintError(f"grammar, terminal {name}: {error}") from None
            self._terminals[name] = Texts(found)
        return self._terminals[name]

    def _reached(self, name: str) -> frozenset[str]:
        """All rules that a rule leads to."""
        found: set[str] = set()
        left = [name]
        while left:
            for symbols in self.rules[left.pop()]:
                for symbol in symbols:
                    if not symbol.is_term and symbol.name not in found:
                        found.add(str(symbol.name))
                        left.append(str(symbol.name))
        return frozenset(found)


def _is(symbols: Symbols, name: str) -> bool:
    return bool(symbols) and not symbols[0].is_term and symbols[0].name == name
