"""JSON Schema: which values, how they are written, and the texts that they become."""

from redraft.grammar.schema.constraint import JsonSchema
from redraft.grammar.schema.tools import ToolCalls

__all__ = ["JsonSchema", "ToolCalls"]
