"""Constraints of a chat: from tools, tool_choice and response_format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class ToolChoice:
    """The tools of a chat, as `tool_choice` leaves them.

    Attributes:
        offered: the tools that the prompt names. demanded: those one of which must be called; None
            where the model may call or not.
    """

    offered: list[dict[str, Any]]
    demanded: list[dict[str, Any]] | None = None

    @classmethod
    def of(cls, body: ChatRequest) -> ToolChoice:
        """Read all forms of `tool_choice`: a word, a named tool, and allowed tools.

        Raises:
            RequestError: a demanded or allowed tool is not there, or the form is none of these.
        """
        tools, choice = body.tools or [], body.tool_choice
        if choice == "none":
            return cls([])
        if choice in (None, "auto"):
            return cls(tools)
        if not tools:
            raise RequestError("tool_choice demands a call, and there are no tools")
        if not isinstance(choice, dict):
            return cls(tools, tools)
        inner = choice.get("allowed_tools", choice)
        match choice.get("type"), inner:
            case "function", _:
                return cls(tools, [_named(_by_name(tools), choice)])
            case "allowed_tools", {"mode": "auto" | "required" as mode, "tools": [_, *_] as listed}:
                by_name = _by_name(tools)
                allowed = [_named(by_name, one) for one in listed]
                return cls(allowed, allowed if mode == "required" else None)
        raise RequestError(
            f"tool_choice={choice!r} cannot be read: give none, auto, required, a function "
            "with its name, or allowed_tools with mode (auto, required) and tools"
        )


def chat_constraint(
    body: ChatRequest,
    choice: ToolChoice,
    prompt: Sequence[int],
    tokenizer: Tokenizer | None,
) -> Constraint | None:
    """Return what an answer must be; None for a free one.

    A response_format binds the final answer, not an answer that calls tools. Tools with
    `strict: true` bind the arguments of calls, wherever they come in a free text.

    Args:
        prompt: a channel that it leaves open is thought to its end first.

    Raises:
        ConstraintError: a constraint cannot be used.
    """
    final = None if body.response_format is None else response_constraint(body.response_format)
    offered, demanded = choice.offered, choice.demanded
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


def _by_name(tools: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return tools by their names; of two alike the first."""
    named = [(_name(tool), tool) for tool in reversed(tools)]
    return {name: tool for name, tool in named if isinstance(name, str)}


def _named(tools: dict[str, dict[str, Any]], choice: object) -> dict[str, Any]:
    """Return the tool that a choice names, bare or under `function`."""
    name = _name(choice)
    if isinstance(name, str) and name in tools:
        return tools[name]
    raise RequestError(f"tool_choice names {name!r}, which is none of the tools")


def _name(tool: object) -> object:
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    return function.get("name") if isinstance(function, dict) else None
