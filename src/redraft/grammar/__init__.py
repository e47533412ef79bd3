"""What a text must be: patterns, choices, schemas and grammars, exact on a canvas.

notation -> expression -> automaton over characters -> over bytes -> classes of tokens -> inference
on each canvas
"""

from redraft.grammar.constraint import Constraint
from redraft.grammar.constraints import Choice, ConstraintLike, Regex, as_constraint
from redraft.grammar.guide import CanvasConstraint, Guide
from redraft.grammar.rules import Grammar
from redraft.grammar.schema import JsonSchema, ToolCalls
from redraft.grammar.tokens.token_dfa import TokenDFA

__all__ = [
    "CanvasConstraint",
    "Choice",
    "Constraint",
    "ConstraintLike",
    "Grammar",
    "Guide",
    "JsonSchema",
    "Regex",
    "TokenDFA",
    "ToolCalls",
    "as_constraint",
]
