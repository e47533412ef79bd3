"""Grammar: texts that a context-free grammar derives, nested to a depth."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import lark

from redraft.config.check import check_integer
from redraft.errors import ConstraintError, ConstraintUnsatisfiedError
from redraft.grammar.constraint import Constraint
from redraft.grammar.language.dfa import DFA
from redraft.grammar.rules.compiler import Compiler
from redraft.text import Tokenizer

DEPTH = 3
OWN_FILES = re.compile(r"^\s*%import\s+\(?\s*\.", re.MULTILINE)


class Grammar(Constraint):
    """Texts that a grammar derives, character by character: no terminal is greedy, and none has
    priority.

    Args:
        source: the grammar, in the notation of Lark (EBNF).
        start: the rule to begin with.
        depth: how often rules that derive one another may nest. What only repeats (recursion at the
            left or right end of a rule) has no limit.

    Raises:
        ConstraintError: the grammar is not valid; the message names the rule or the line.
            ConstraintUnsatisfiedError: it derives nothing to this depth.
    """

    def __init__(self, source: str, *, start: str = "start", depth: int = DEPTH) -> None:
        check_integer("depth", depth, minimum=0)
        if not isinstance(source, str) or not isinstance(start, str):
            raise ConstraintError(
                f"a grammar and its start are strings, not {type(source).__name__}, {type(start).__name__}"
            )
        self.source, self.start, self.depth = source, start, depth
        self.automaton = Compiler(_read(source, start), start, depth).automaton()
        if self.automaton.empty:
            raise ConstraintUnsatisfiedError(
                f"grammar: {start!r} derives no text to a depth of {depth}"
            )

    @property
    def key(self) -> Hashable:
        return self.source, self.start, self.depth

    def language(self, tokenizer: Tokenizer) -> DFA:
        return self.automaton


def _read(source: str, start: str) -> Any:
    if OWN_FILES.search(source):
        raise ConstraintError(
            "grammar: only the grammars that come with Lark can be imported, not files"
        )
    try:
        return lark.Lark(
            source,
            start=start,
            parser="earley",
            lexer="dynamic",
            maybe_placeholders=False,
            import_paths=[],
        )
    except Exception as error:  # its own errors, and those of whatever reads its patterns
        raise ConstraintError(f"grammar: {' '.join(str(error).split())}") from None
