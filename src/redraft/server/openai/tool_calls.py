"""Tool calls in OpenAI's form."""

from __future__ import annotations

import json
from typing import Any

from redraft.drawn import token_hex
from redraft.text import Answer
from redraft.text.tool_calls import ToolCall


def call_to_json(call: ToolCall) -> dict[str, Any]:
    """Return a tool call with an id of its own."""
    function = {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
    return {"id": f"call_{token_hex(12)}", "type": "function", "function": function}


def unreadable_to_json(answer: Answer) -> dict[str, Any]:
    """Return the field that reports calls which cannot be read; nothing where all can."""
    found = [{"text": call.text, "error": call.error} for call in answer.unreadable]
    return {"invalid_tool_calls": found} if found else {}
