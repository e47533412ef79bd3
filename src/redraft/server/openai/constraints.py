"""Constraints of a chat: from tools, tool_choice and response_format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redraft.errors import RequestError
from redraft.grammar import (
    ChatAnswer,
    Choice,
    Constraint,
    Grammar,
    JsonSchema,
    Regex,
    ToolCalls,
    behind_thoughts,
    thoughts_in,
)
from redraft.grammar.schema.tools import is_strict
from redraft.server.openai.schemas import ChatRequest, ResponseFormat
from redraft.text import Tokenizer


def chat_constraint(
    body: ChatRequest,
    offered: list[dict[str, Any]] | None,
    prompt: Sequence[int],
    tokenizer: Tokenizer | None,
) -> Constraint | None:
    """Return what an answer must be; None for a free one.

    A response_format binds the final answer, not an answer that calls tools. Tools with
    `strict: true` bind the arguments of calls, wherever they come in a free text.

    Args:
        offered: the tools that the model may call. prompt: a channel that it leaves open is
            thought to its end first.

    Raises:
        RequestError: a demanded tool is not there. ConstraintError: a constraint cannot be used.
    """
    final = None if body.response_format is None else response_constraint(body.response_format)
    demanded = _demanded(body)
    if tokenizer is None:
        return final if demanded is None else ToolCalls(demanded)
    if demanded is not None:
        return behind_thoughts(ToolCalls(demanded), prompt, tokenizer)
    if offered and (final is not None or any(map(is_strict, offered))):
        limit = 1 if body.parallel_tool_calls is False else None
        thinking, opened = thoughts_in(prompt, tokenizer)
        return ChatAnswer(offered, final=final, max_calls=limit, thinking=thinking, opened=opened)
    return None if final is None else behind_thoughts(final, prompt, tokenizer)


def response_constraint(body: ResponseFormat) -> Constraint | None:
    """Return the constraint of a response format.

    Raises:
        RequestError: a field is missing. ConstraintError: the constraint cannot be used.
    """
    if body.type == "text":
        return None
    if body.type == "json_object":
        return JsonSchema({"type": "object"})
    given = getattr(body, body.type)
    if given is None:
        raise RequestError(f"response_format of type {body.type!r} needs the field {body.type!r}")
    match body.type:
        case "json_schema":
            return JsonSchema(given.schema_)
        case "regex":
            return Regex(given)
        case "choice":
            return Choice(given)
    return Grammar(given)


def _demanded(body: ChatRequest) -> list[dict[str, Any]] | None:
    """Return the tools one of which must be called; None where the model may call or not."""
    choice = body.tool_choice
    if choice in (None, "none", "auto"):
        return None
    if not body.tools:
        raise RequestError("tool_choice demands a call, and there are no tools")
    if choice == "required":
        return body.tools
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    functions = [(tool, tool.get("function", tool)) for tool in body.tools]
    named = [tool for tool, one in functions if isinstance(one, dict) and one.get("name") == name]
    if not named:
        raise RequestError(f"tool_choice names {name!r}, which is none of the tools")
    return named
