"""Messages of a chat request: OpenAI's older forms become the present ones, and each result of a
tool must belong to a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redraft.errors import RequestError
from redraft.server.openai.schemas import ChatRequest
from redraft.text import Message


def openai_messages(messages: Sequence[Message]) -> list[Message]:
    """Return messages in which calls are `tool_calls` and results have the role `tool`.

    Raises:
        RequestError: a result belongs to no call. Chat templates would leave it out.
    """
    found: list[Message] = []
    calls: list[Any] = []
    for at, given in enumerate(messages):
        message = _present_form(given)
        if message.get("role") != "tool":
            calls = message.get("tool_calls") or [] if message.get("role") == "assistant" else []
        elif not calls:
            raise RequestError(
                f"messages[{at}]: the result of a tool must follow an assistant's message with "
                "tool_calls"
            )
        elif not _belongs(message, calls):
            raise RequestError(
                f"messages[{at}]: no call before it has the id {message.get('tool_call_id')!r}"
            )
        found.append(message)
    return found


def _belongs(result: Message, calls: list[Any]) -> bool:
    """Return True where a result has the id of a call, or says itself which tool it is from."""
    ids = [call.get("id") for call in calls if isinstance(call, dict)]
    return bool(result.get("name")) or result.get("tool_call_id") in ids


def _present_form(message: Message) -> Message:
    """Return a message with `function_call` as a tool call, and the role `function` as `tool`."""
    if message.get("role") == "function":
        return {**message, "role": "tool"}
    if (call := message.get("function_call")) is None:
        return message
    rest = {key: value for key, value in message.items() if key != "function_call"}
    return {"tool_calls": [{"type": "function", "function": call}]} | rest


def template_variables(body: ChatRequest) -> dict[str, Any]:
    """Return the variables of the chat template, with `enable_thinking` where a field sets it.

    Raises:
        RequestError: two fields contradict each other, or a switch is no boolean.
    """
    variables = dict(body.chat_template_kwargs or {})
    switch = variables.get("enable_thinking")
    if switch is not None and not isinstance(switch, bool):
        raise RequestError(f"chat_template_kwargs.enable_thinking={switch!r} must be true or false")
    switches = {
        "chat_template_kwargs.enable_thinking": switch,
        "enable_thinking": body.enable_thinking,
    }
    if (effort := body.reasoning_effort) is not None:
        variables.setdefault("reasoning_effort", effort)
        switches["reasoning_effort"] = effort != "none"
    given = {name: value for name, value in switches.items() if value is not None}
    if len(set(given.values())) > 1:
        raise RequestError(f"{' and '.join(given)} say different things about thinking")
    return variables | ({"enable_thinking": next(iter(given.values()))} if given else {})
