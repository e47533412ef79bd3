"""Script: what the model of these tests writes, by what its prompt says."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.clients.words import WORDS
from tests.server.scripted import QUOTE

RESULT = re.compile(r"response:\w+\{value:<\|\"\|>(.*?)<\|\"\|>\}", re.DOTALL)
LAST_TURN = re.compile(r"<\|turn>user\n(.*?)<turn\|>", re.DOTALL)
IMAGE = "<image|>"


def turn_for(prompt: str, *, adapted: bool = False) -> str | None:
    """Return what the model writes behind a prompt, without the end of a turn; None leaves it free.

    Args:
        adapted: the request names the adapter.
    """
    users = LAST_TURN.findall(prompt)
    said = users[-1] if users else prompt
    results = RESULT.findall(prompt.rpartition("<|turn>user")[2])
    if WORDS["ask_loop"] in said:
        return _journey(results)
    if WORDS["ask_weather"] in said:
        return WORDS["warm"] if results else called("weather", {"city": "Rome"})
    if WORDS["ask_person"] in said:
        person = WORDS["person"]
        if tool := re.search(r"declaration:(\w+)", prompt):
            return WORDS["hello"] if results else called(tool[1], _arguments(prompt, person))
        return json.dumps(person, ensure_ascii=False)
    if WORDS["ask_thought"] in said:
        return _thoughtful(prompt, results)
    if WORDS["ask_image"] in said:
        return f"{prompt.count(IMAGE)} images"
    if WORDS["repeat"] in said:
        return said.split(WORDS["repeat"])[1]
    if WORDS["ask"] in said:
        return WORDS["formal" if adapted else "hello"]
    return None


def called(name: str, arguments: Any) -> str:
    """Return a call as the model writes it, with keys in the order of the template's."""
    return f"<|tool_call>call:{name}{_value(arguments)}<tool_call|>"


def _journey(results: list[str]) -> str:
    """Return two calls for each city, one city a turn; in the end all that they gave."""
    if (at := len(results) // 2) < len(WORDS["cities"]):
        city = {"city": WORDS["cities"][at]}
        return called("weather", city) + called("people", city)
    return "; ".join(results)


def _thoughtful(prompt: str, results: list[str]) -> str:
    """Return a thought and what comes behind it: a call, where there is a tool, and then the number
    of thoughts that came back in the prompt."""
    thought = f"<|channel>thought\n{WORDS['thought']}<channel|>"
    if "declaration:weather" in prompt and not results:
        return thought + called("weather", {"city": "Rome"})
    if not results:
        return thought + WORDS["thought_out"]
    return f"{prompt.count(WORDS['thought'])} thought"


def _arguments(prompt: str, person: Any) -> Any:
    """Return a person as the arguments of the tool that there is: as it is, or in one of them."""
    outer = re.search(r"parameters:\{properties:\{ ?(person|value):", prompt)
    return {outer[1]: person} if outer else person


def _value(value: Any) -> str:
    match value:
        case str():
            return f"{QUOTE}{value}{QUOTE}"
        case dict():
            return (
                "{" + ",".join(f"{key}:{_value(one)}" for key, one in sorted(value.items())) + "}"
            )
        case list():
            return "[" + ",".join(map(_value, value)) + "]"
    return json.dumps(value)
