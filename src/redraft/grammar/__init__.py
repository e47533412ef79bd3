"""Constraints on a text: patterns, choices, JSON Schemas and grammars, exact on a canvas.

notation -> expression -> DFA over characters -> DFA over bytes -> DFA over token classes
-> inference on each canvas
"""

from redraft.grammar.constraint import Constraint
from redraft.grammar.constraints import Choice, ConstraintLike, Regex, as_constraint
from redraft.grammar.rules import Grammar
from redraft.grammar.schema import (
    ChatAnswer,
    JsonSchema,
    ToolCalls,
    behind_thoughts,
    thoughts_in,
)
from redraft.grammar.tokens.token_dfa import TokenDFA

__all__ = [
    "ChatAnswer",
    "Choice",
    "Constraint",
    "ConstraintLike",
    "Grammar",
    "JsonSchema",
    "Regex",
    "TokenDFA",
    "ToolCalls",
    "as_constraint",
    "behind_thoughts",
    "thoughts_in",
]
