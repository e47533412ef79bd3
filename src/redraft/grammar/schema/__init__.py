"""JSON Schema: from a schema to the texts of its values, in JSON or in Gemma's tool calls."""

from redraft.grammar.schema.chat_answer import ChatAnswer, behind_thoughts, thoughts_in
from redraft.grammar.schema.json_schema import JsonSchema, SchemaClass
from redraft.grammar.schema.tools import ToolCalls

__all__ = [
    "ChatAnswer",
    "JsonSchema",
    "SchemaClass",
    "ToolCalls",
    "behind_thoughts",
    "thoughts_in",
]
