"""From the rules of a grammar to an expression.

Recursion at the ends of a rule is repetition and has no limit: X: X a | b X | c is b* c a*, and
X: X a X | c is c (a c)*. Recursion in the middle of a rule nests, to a depth; within a depth a
context-free grammar is a regular language.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from lark import Lark
from lark.grammar import Symbol as LarkSymbol

from redraft.errors import ConstraintError
from redraft.grammar.language.charset import Charset
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import (
    EMPTY_LANGUAGE,
    EMPTY_TEXT,
    Expression,
    Language,
    Repeat,
    Symbol,
    concat,
    union,
)
from redraft.grammar.located import located
from redraft.grammar.nesting import Nesting
from redraft.grammar.regex import regex_fullmatch

# The right side of a rule: terminals and rules, one after the other.
Expansion = tuple[LarkSymbol, ...]

# Lark's own pattern for strings has a lookbehind: a string ends at a quote that is not escaped.
# This is the same set without one.
REPLACED_PATTERNS = {'"' + r".*?(?<!\\)(\\\\)*?" + '"': r'"([^"\\\n]|\\.)*"'}
WHITE_SPACE = minimal_dfa(Repeat(Symbol(Charset.chars(" \t\r\n\f\v"))))


class GrammarCompiler:
    """Compiles the rules of one grammar, which Lark has parsed."""

    def __init__(self, parser: Lark, start: str, depth: int) -> None:
        self.start, self.depth = start, depth
        self.rules: dict[str, list[Expansion]] = defaultdict(list)
        for rule in parser.rules:
            self.rules[str(rule.origin.name)].append(tuple(rule.expansion))
        self.patterns = {terminal.name: terminal.pattern for terminal in parser.terminals}
        self._terminals: dict[str, DFA] = {}
        self.ignored = self._ignored(parser.ignore_tokens)
        self._nesting = Nesting(start, self._references)
        self._expansions: dict[tuple[str, int], DFA] = {}

    def compile(self) -> DFA:
        """Return the DFA of the texts that the start derives."""
        try:
            return minimal_dfa(concat(self.rule(self.start), self.ignored))
        except RecursionError:
            raise ConstraintError("grammar: it is nested too deeply") from None

    def rule(self, name: str) -> Expression:
        """Return the texts that a rule derives at the current level of nesting."""
        level = self._nesting.level([name])
        if level > self.depth:
            return EMPTY_LANGUAGE
        if (name, level) not in self._expansions:
            found = self._nesting.expand([name], level, lambda: self._alternatives(name))
            with located(f"grammar, rule {name}"):
                self._expansions[name, level] = minimal_dfa(found)
        return Language(self._expansions[name, level])

    def _references(self, name: str) -> list[str]:
        """Return the rules that a rule refers to."""
        found: list[str] = []
        for symbols in self.rules[name]:
            found += [str(symbol.name) for symbol in symbols if not symbol.is_term]
        return found

    def _ignored(self, names: Sequence[str]) -> Expression:
        """Return the texts that may stand before each terminal and behind the last."""
        for name in names:
            if not (self._terminal(name) - WHITE_SPACE).empty:
                raise ConstraintError(
                    f"grammar: {name} is ignored and not white space: "
                    "it could swallow what follows it"
                )
        if not names:
            return EMPTY_TEXT
        ignored = union([Language(self._terminal(name)) for name in names])
        return Language(minimal_dfa(Repeat(ignored)))

    def _alternatives(self, name: str) -> Expression:
        """Return the alternatives of a rule, with its recursion at the ends as repetition."""
        left, right, both, plain = [], [], [], []
        for symbols in self.rules[name]:
            at_left, at_right = _is_rule(symbols[:1], name), _is_rule(symbols[-1:], name)
            if len(symbols) == 1 and at_left:
                continue  # X: X derives nothing new
            if at_left and at_right:
                both.append(symbols[1:-1])
            elif at_left:
                left.append(symbols[1:])
            elif at_right:
                right.append(symbols[:-1])
            else:
                plain.append(symbols)
        core = self._any_of(plain)
        if right:
            core = concat(Repeat(self._any_of(right)), core)
        if both or left:
            more = union([self._any_of(left), concat(self._any_of(both), core)])
            return concat(core, Repeat(more))
        return core

    def _any_of(self, alternatives: Sequence[Expansion]) -> Expression:
        return union([self._sequence(symbols) for symbols in alternatives])

    def _sequence(self, symbols: Expansion) -> Expression:
        return concat(*(self._symbol(symbol) for symbol in symbols))

    def _symbol(self, symbol: LarkSymbol) -> Expression:
        if not symbol.is_term:
            return self.rule(str(symbol.name))
        found = Language(self._terminal(str(symbol.name)))
        return found if self.ignored is EMPTY_TEXT else concat(self.ignored, found)

    def _terminal(self, name: str) -> DFA:
        """Return the DFA of a terminal."""
        if name not in self._terminals:
            if name not in self.patterns:
                raise ConstraintError(f"grammar: the terminal {name} has no pattern")
            pattern = self.patterns[name].to_regexp()
            pattern = REPLACED_PATTERNS.get(pattern, pattern)
            with located(f"grammar, terminal {name}"):
                self._terminals[name] = minimal_dfa(regex_fullmatch(pattern, anchors=False))
        return self._terminals[name]


def _is_rule(symbols: Expansion, name: str) -> bool:
    return bool(symbols) and not symbols[0].is_term and symbols[0].name == name
