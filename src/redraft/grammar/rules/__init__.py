"""Context-free grammars in Lark's notation."""

from redraft.grammar.rules.grammar import Grammar

__all__ = ["Grammar"]
