"""Messages of a chat request: OpenAI's older forms become the present ones, and each result of a
tool must belong to a call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from redraft.errors import RequestError
from redraft.server.openai.schemas import ChatRequest
from redraft.text import Message
from redraft.text.template_environment import MAX_PROMPT

# Calls of one message, and the results that follow it: templates look for each among the others.
MAX_CALLS = 256


def openai_messages(messages: Sequence[Message]) -> list[Message]:
    """Return messages in which calls are `tool_calls` and results have the role `tool`.

    Raises:
        RequestError: a result belongs to no call. Chat templates would leave it out. Or there are
            too many calls in one message, or results behind it.
    """
    found: list[Message] = []
    calls: list[Any] = []
    names: set[object] = set()
    results = 0
    for at, given in enumerate(messages):
        message = _present_form(given)
        if message.get("role") != "tool":
            given_calls = message.get("tool_calls") if message.get("role") == "assistant" else []
            calls = given_calls if isinstance(given_calls, list) else []
            names, results = _names(calls), 0
        elif not calls:
            raise RequestError(
                f"messages[{at}]: the result of a tool must follow an assistant's message with "
                "tool_calls"
            )
        elif not _belongs(message, names):
            raise RequestError(
                f"messages[{at}]: no call before it has the id {message.get('tool_call_id')!r}"
            )
        results += message.get("role") == "tool"
        if max(len(calls), results) > MAX_CALLS:
            raise RequestError(
                f"messages[{at}]: a message may have {MAX_CALLS} calls, and as many results may "
                "follow it"
            )
        found.append(message)
    return found


def _names(calls: list[Any]) -> set[object]:
    """Return the ids of calls; None for those that have none."""
    found = (call.get("id") for call in calls[: MAX_CALLS + 1] if isinstance(call, dict))
    return {name for name in found if name is None or isinstance(name, str | int | float)}


def _belongs(result: Message, names: set[object]) -> bool:
    """Return True where a result has the id of a call, or says itself which tool it is from."""
    name = result.get("tool_call_id")
    known = name is None or isinstance(name, str | int | float)
    return bool(result.get("name")) or (known and name in names)


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
        RequestError: two fields contradict each other, a switch is no boolean, or the variables
            are too long.
    """
    variables = dict(body.chat_template_kwargs or {})
    # A template may write each of them once for each message.
    length = len(json.dumps(variables)) * len(body.messages)
    if length > MAX_PROMPT:
        raise RequestError(
            f"chat_template_kwargs with {len(body.messages)} messages could make a prompt of "
            f"{length} characters, and {MAX_PROMPT} are read: send shorter ones"
        )
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
