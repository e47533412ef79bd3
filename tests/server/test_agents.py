"""Agents that nobody here wrote: ten turns with two tools, whole and as streams.

OpenAI's client, pydantic-ai and langchain talk to a model that writes a script. Nothing of it may be
lost, invented or misread, on the way to the agent and on the way back into the prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.server.scripted import QUOTE, Script, hosted, script
from tests.server.test_openai import Served

__all__ = ["hosted", "script"]


def call(name: str, arguments: str) -> str:
    return f"<|tool_call>call:{name}{{{arguments}}}<tool_call|>"


def quoted(text: str) -> str:
    return f"{QUOTE}{text}{QUOTE}"


ODD_CITY = 'São "Paulo", {BR}: \\n ✓'
# What a user says, the turns that answer it, and what the agent must say in the end.
CANONICAL: list[tuple[str, list[str], str]] = [
    (
        "How is Rome?",
        [
            "<|channel>thought\nI need the weather.\n<channel|>Let me look."
            + call("weather", f"city:{quoted('Rome')},days:2") + "<|tool_response>",
            call("add", "a:1,b:2.5") + call("weather", f"city:{quoted('Oslo')},days:1") + "<|tool_response>",
            "Rome is warm.<turn|>",
        ],
        "Rome is warm.",
    ),
    (
        "And there?",
        [
            call("add", "a:40,b:2") + "<|tool_response>",
            call("weather", f"city:{quoted(ODD_CITY)},days:3") + "<|tool_response>",
            "It is 42 é 😀.<turn|>",
        ],
        "It is 42 é 😀.",
    ),
    (
        "Thank you",
        ["<|channel>thought\nA " + call("add", "a:9,b:9") + " is not needed.<channel|>You are welcome.<turn|>"],
        "You are welcome.",
    ),
    (
        "Once more",
        [
            call("add", "a:0,b:-1") + "<|tool_response>",
            call("weather", f"city:{quoted('x')},days:1") + "<|tool_response>",
            "Done: <b>&</b>\n- one<turn|>",
        ],
        "Done: <b>&</b>\n- one",
    ),
]  # fmt: skip
# The same calls as a model also writes them: other quotes, white space, no end.
ODD = [(user, list(turns), last) for user, turns, last in CANONICAL]
ODD[0][1][1] = (
    "<|tool_call>call:add {a: 1,\nb : 2.5}<tool_call|>\n"
    '<|tool_call>call:weather{ "city": "Oslo", "days": 1 }<tool_call|><|tool_response>'
)
ODD[1][1][0] = "<|tool_call>call:add{\n  a: 40,\n  b: 2,\n}<turn|>"
ODD[3][1][1] = "<|tool_call>call:weather{city='x', days=1}<turn|>"
CALLS = [
    ("weather", {"city": "Rome", "days": 2}),
    ("add", {"a": 1, "b": 2.5}),
    ("weather", {"city": "Oslo", "days": 1}),
    ("add", {"a": 40, "b": 2}),
    ("weather", {"city": ODD_CITY, "days": 3}),
    ("add", {"a": 0, "b": -1}),
    ("weather", {"city": "x", "days": 1}),
]
PARAMETERS: dict[str, dict[str, str]] = {
    "weather": {"city": "string", "days": "integer"},
    "add": {"a": "number", "b": "number"},
}


@dataclass
class Tools:
    """The two tools, and how they were called."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def weather(self, city: str, days: int) -> str:
        """The weather of a city."""
        self.calls.append(("weather", {"city": city, "days": days}))
        return f"warm in {city}"

    def add(self, a: float, b: float) -> str:
        """A sum."""
        self.calls.append(("add", {"a": a, "b": b}))
        return json.dumps({"sum": a + b})

    def run(self, name: str, arguments: dict[str, Any]) -> str:
        return {"weather": self.weather, "add": self.add}[name](**arguments)


Ask = Callable[[str], str]


def openai_agent(served: Served, tools: Tools, *, stream: bool, strict: bool) -> Ask:
    client = served.client()
    described: Any = [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": f"{name} of a place",
                "strict": strict,
                "parameters": {
                    "type": "object",
                    "properties": {key: {"type": kind} for key, kind in parameters.items()},
                    "required": list(parameters),
                    "additionalProperties": False,
                },
            },
        }
        for name, parameters in PARAMETERS.items()
    ]
    messages: list[Any] = []

    def turn() -> Any:
        given: Any = {"model": "small-text", "messages": messages, "tools": described}
        if not stream:
            return client.chat.completions.create(**given).choices[0].message
        with client.chat.completions.stream(**given) as events:
            for _ in events:
                pass
            return events.get_final_completion().choices[0].message

    def ask(text: str) -> str:
        messages.append({"role": "user", "content": text})
        while True:
            message = turn()
            messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
            for one in message.tool_calls or []:
                result = tools.run(one.function.name, json.loads(one.function.arguments))
                messages.append({"role": "tool", "tool_call_id": one.id, "content": result})
            if not message.tool_calls:
                assert isinstance(message.content, str)
                return message.content

    return ask


def pydantic_agent(served: Served, tools: Tools, *, stream: bool, strict: bool) -> Ask:
    pydantic_ai = pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel(
        "small-text", provider=OpenAIProvider(base_url=served.url, api_key="none")
    )
    agent = pydantic_ai.Agent(model)
    for tool in (tools.weather, tools.add):
        agent.tool_plain(strict=strict, sequential=True)(tool)
    history: list[Any] = []
    seen: list[Any] = []

    async def listen(_: Any, events: AsyncIterable[Any]) -> None:
        async for event in events:
            seen.append(event)

    def ask(text: str) -> str:
        handler = {"event_stream_handler": listen} if stream else {}
        done = agent.run_sync(text, message_history=list(history), **handler)
        history[:] = done.all_messages()
        assert bool(seen) == stream
        assert isinstance(done.output, str)
        return done.output

    return ask


def langchain_agent(served: Served, tools: Tools, *, stream: bool, strict: bool) -> Ask:
    pytest.importorskip("langchain_openai")
    from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    model: Any = ChatOpenAI(model="small-text", base_url=served.url, api_key="none", max_retries=0)  # type: ignore[arg-type]
    model = model.bind_tools([tool(tools.weather), tool(tools.add)], strict=strict)
    messages: list[BaseMessage] = []

    def ask(text: str) -> str:
        messages.append(HumanMessage(text))
        while True:
            if stream:
                chunks = list(model.stream(messages))
                message = chunks[0]
                for chunk in chunks[1:]:
                    message = message + chunk
            else:
                message = model.invoke(messages)
            assert not message.invalid_tool_calls
            messages.append(message)
            for one in message.tool_calls:
                result = tools.run(one["name"], one["args"])
                messages.append(ToolMessage(result, tool_call_id=one["id"]))
            if not message.tool_calls:
                assert isinstance(message.content, str)
                return message.content

    return ask


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("agent", [openai_agent, pydantic_agent, langchain_agent])
@pytest.mark.parametrize("form", ["strict", "odd"])
def test_ten_turns_with_two_tools(
    hosted: Served, script: Script, agent: Callable[..., Ask], stream: bool, form: str
) -> None:
    conversation = CANONICAL if form == "strict" else ODD
    script.turns = [turn for _, turns, _ in conversation for turn in turns]
    assert len(script.turns) == 10
    tools = Tools()
    ask = agent(hosted, tools, stream=stream, strict=form == "strict")
    answers = [ask(user) for user, _, _ in conversation]
    assert answers == [last for _, _, last in conversation]
    assert tools.calls == CALLS
    assert not script.turns
    check_history(script.prompts[-1], conversation)


def check_history(prompt: str, conversation: list[tuple[str, list[str], str]]) -> None:
    """The last prompt says all that was said, in the release's own form and in its order."""
    expected = ["declaration:weather{", "declaration:add{"]
    results = iter(
        [
            "response:weather{value:" + quoted("warm in Rome"),
            "response:add{value:" + quoted('{"sum": 3.5}'),
            "response:weather{value:" + quoted("warm in Oslo"),
            "response:add{value:" + quoted('{"sum": 42}'),
            "response:weather{value:" + quoted(f"warm in {ODD_CITY}"),
            "response:add{value:" + quoted('{"sum": -1}'),
            "response:weather{value:" + quoted("warm in x"),
        ]
    )
    for user, turns, last in CANONICAL:
        expected.append(f"<|turn>user\n{user}<turn|>")
        for turn in turns[:-1]:
            calls = re.findall(r"<\|tool_call>.*?<tool_call\|>", turn)
            expected += calls
            expected += [next(results).replace(".0}", "}") for _ in calls]
        if (user, turns, last) != CANONICAL[-1]:
            expected.append(last)
    at = 0
    normal = prompt.replace("42.0", "42").replace("-1.0", "-1")
    for one in expected:
        found = normal.find(one, at)
        assert found >= 0, (one, normal[at:])
        at = found + len(one)
    assert normal.count("<|tool_call>") == len(CALLS)
    assert normal.count("<|tool_response>") == len(CALLS)
