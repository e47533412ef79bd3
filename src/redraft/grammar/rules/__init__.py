"""Grammars in Lark's notation."""

from redraft.grammar.rules.constraint import Grammar

__all__ = ["Grammar"]
