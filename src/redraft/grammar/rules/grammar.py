"""Grammar: texts that a context-free grammar derives, with a limit on nesting."""

from __future__ import annotations

import re
from collections.abc import Hashable

import lark

from redraft.config.check import check_integer
from redraft.errors import ConstraintError, ConstraintLimitError, ConstraintUnsatisfiedError
from redraft.grammar.budget import budgeted, counting_calls, spend
from redraft.grammar.constraint import TextConstraint
from redraft.grammar.language.dfa import DFA
from redraft.grammar.rules.compiler import GrammarCompiler

DEFAULT_DEPTH = 3
# Characters of a grammar: Lark takes some seconds for so many.
MAX_SOURCE = 60_000
IMPORT_OF_FILE = re.compile(r"^\s*%import\s+\(?\s*\.", re.MULTILINE)


class Grammar(TextConstraint):
    """Texts that a grammar derives, character by character: no terminal is greedy, and none has
    priority.

    Args:
        source: the grammar, in Lark's notation (EBNF).
        start: the rule to begin with.
        depth: how often rules that derive one another may nest. Recursion at the left or the right
            end of a rule is repetition, and has no limit.

    Raises:
        ConstraintError: the grammar is not valid; the message names the rule or the line.
        ConstraintUnsatisfiedError: it derives no text within this depth.
    """

    @budgeted
    def __init__(self, source: str, *, start: str = "start", depth: int = DEFAULT_DEPTH) -> None:
        check_integer("depth", depth, minimum=0)
        if not isinstance(source, str) or not isinstance(start, str):
            raise ConstraintError(
                "a grammar and its start are strings, "
                f"not {type(source).__name__} and {type(start).__name__}"
            )
        self.source, self.start, self.depth = source, start, depth
        self.check()

    @property
    def key(self) -> Hashable:
        return self.source, self.start, self.depth

    def build(self) -> DFA:
        parsed = _parse(self.source, self.start)
        found = GrammarCompiler(parsed, self.start, self.depth).compile()
        if found.empty:
            raise ConstraintUnsatisfiedError(
                f"grammar: {self.start!r} derives no text within a depth of {self.depth}"
            )
        return found


def _parse(source: str, start: str) -> lark.Lark:
    if len(source) > MAX_SOURCE:
        raise ConstraintLimitError(
            f"grammar: it has {len(source)} characters, {MAX_SOURCE} are the most"
        )
    if IMPORT_OF_FILE.search(source):
        raise ConstraintError(
            "grammar: only the grammars that come with Lark can be imported, not files"
        )
    try:
        with counting_calls():
            return lark.Lark(
                source,
                start=start,
                parser="earley",
                lexer="dynamic",
                maybe_placeholders=False,
                import_paths=[],
            )
    except Exception as error:  # Lark's own errors, and those of the parser of its patterns
        spend(0)  # where Lark has wrapped the error of the budget, this raises it again
        raise ConstraintError(f"grammar: {' '.join(str(error).split())}") from None
