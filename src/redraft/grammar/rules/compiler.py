"""From rules to an expression.

Recursion at the ends of a rule is repetition, and stays without a limit: X: X a | b X | c is b* c
a*, and X: X a X | c is c (a c)*. Recursion in the middle nests, to a depth, which makes the
language a regular one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from redraft.errors import ConstraintError
from redraft.grammar import regex
from redraft.grammar.language.charset import Charset
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import (
    EMPTY,
    NOTHING,
    Expression,
    One,
    Repeat,
    Texts,
    chain,
    either,
)
from redraft.grammar.recursion import Nesting

Symbols = tuple[Any, ...]  # of Lark: terminals and rules


# Lark's own string has a lookbehind, which means that it ends at a quote that is not escaped.
KNOWN = {'"' + r".*?(?<!\\)(\\\\)*?" + '"': r'"([^"\\\n]|\\.)*"'}
SPACE = DFA.of(Repeat(One(Charset.chars(" \t\r\n\f\v"))))


class Compiler:
    """Compiles the rules of one grammar, read by Lark."""

    def __init__(self, parser: Any, start: str, depth: int) -> None:
        self.start, self.depth = start, depth
        self.rules: dict[str, list[Symbols]] = defaultdict(list)
        for rule in parser.rules:
            self.rules[str(rule.origin.name)].append(tuple(rule.expansion))
        self.patterns = {terminal.name: terminal.pattern for terminal in parser.terminals}
        self._terminals: dict[str, Texts] = {}
        self.ignored = self._ignored(parser.ignore_tokens)
        self._nesting = Nesting(start, self._follow)
        self._done: dict[tuple[str, int], DFA] = {}

    def automaton(self) -> DFA:
        """The texts of the start."""
        try:
            return DFA.of(chain(self.rule(self.start), self.ignored))
        except RecursionError:
            raise ConstraintError("grammar: it is nested too deeply") from None

    def rule(self, name: str) -> Expression:
        """What a rule derives at the level where we are."""
        level = self._nesting.level(name)
        if level > self.depth:
            return NOTHING
        if (name, level) not in self._done:
            found = self._nesting.inside(name, lambda: self._alternatives(name))
            try:
                self._done[name, level] = DFA.of(found)
            except ConstraintError as error:
                raise ConstraintError(f"grammar, rule {name}: {error}") from None
        return Texts(self._done[name, level])

    def _follow(self, name: str) -> list[str]:
        """The rules that a rule refers to."""
        return [
            str(symbol.name)
            for symbols in self.rules[name]
            for symbol in symbols
            if not symbol.is_term
        ]

    def _ignored(self, names: Sequence[str]) -> Expression:
        """What may stand before each terminal and behind the last."""
        parts = [self._pattern(name) for name in names]
        for name, part in zip(names, parts, strict=True):
            if not (part.automaton - SPACE).empty:
                raise ConstraintError(
                    f"grammar: {name} is ignored and not white space: it could swallow what follows it"
                )
        return Texts(DFA.of(Repeat(either(parts)))) if parts else EMPTY

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
        return either(
            [chain(*(self._symbol(symbol) for symbol in symbols)) for symbols in alternatives]
        )

    def _symbol(self, symbol: Any) -> Expression:
        if not symbol.is_term:
            return self.rule(str(symbol.name))
        found = self._pattern(str(symbol.name))
        return found if self.ignored is EMPTY else chain(self.ignored, found)

    def _pattern(self, name: str) -> Texts:
        """A terminal."""
        if name not in self._terminals:
            if name not in self.patterns:
                raise ConstraintError(f"grammar: the terminal {name} has no pattern")
            pattern = self.patterns[name].to_regexp()
            try:
                self._terminals[name] = Texts(
                    DFA.of(regex.whole(KNOWN.get(pattern, pattern), anchors=False))
                )
            except ConstraintError as error:
                raise ConstraintError(f"grammar, terminal {name}: {error}") from None
        return self._terminals[name]


def _is(symbols: Symbols, name: str) -> bool:
    return bool(symbols) and not symbols[0].is_term and symbols[0].name == name
