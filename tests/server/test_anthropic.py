"""Anthropic's Messages API with Anthropic's own client, over a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.server.scripted import Script, hosted, script
from tests.server.test_agents import CALLS, CANONICAL, ODD, PARAMETERS, Tools, check_history
from tests.server.test_openai import MESSAGES, QUICK, Served

anthropic = pytest.importorskip("anthropic")

__all__ = ["hosted", "script"]
MODEL = "small-text"
THOUGHT = "<|channel>thought\nLet me think.\n<channel|>The answer.<turn|>"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served(max_batch_size=4, max_waiting=4, api_key="secret")
    yield server
    server.close()


def client(served: Served, key: str = "secret") -> Any:
    url = served.url.removesuffix("/v1")
    return anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)


def tools_of(strict: bool) -> Any:
    return [
        {
            "name": name, "description": "x", "strict": strict,
            "input_schema": {
                "type": "object", "properties": {key: {"type": kind} for key, kind in each.items()},
                "required": list(each), "additionalProperties": False,
            },
        }
        for name, each in PARAMETERS.items()
    ]  # fmt: skip


def test_a_message_is_what_the_model_writes(served: Served) -> None:
    given: Any = {
        "model": MODEL,
        "max_tokens": 40,
        "messages": MESSAGES,
        "extra_body": QUICK | {"seed": 3},
    }
    answer = client(served).messages.create(**given)
    expected = served.model.generate(messages=MESSAGES, **QUICK, seed=3, max_new_tokens=40)
    assert "".join(block.text for block in answer.content) == expected.text
    assert answer.stop_reason == ("max_tokens" if expected.reason == "length" else "end_turn")
    assert answer.usage.output_tokens == len(expected.tokens)
    with client(served).messages.stream(**given) as stream:
        assert "".join(stream.text_stream) == expected.text
        final = stream.get_final_message()
    assert final.stop_reason == answer.stop_reason
    assert final.usage.output_tokens == answer.usage.output_tokens


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("form", ["strict", "odd"])
def test_ten_turns_with_two_tools(hosted: Served, script: Script, stream: bool, form: str) -> None:
    conversation = CANONICAL if form == "strict" else ODD
    script.turns = [turn for _, turns, _ in conversation for turn in turns]
    asking, tools = client(hosted), Tools()
    messages: list[Any] = []
    given: Any = {
        "model": MODEL,
        "max_tokens": 100_000,
        "tools": tools_of(form == "strict"),
        "messages": messages,
    }
    for user, _, last in conversation:
        messages.append({"role": "user", "content": user})
        while True:
            if stream:
                with asking.messages.stream(**given) as events:
                    answer = events.get_final_message()
            else:
                # The client asks to stream where an answer could be long, unless told the time.
                answer = asking.messages.create(**given, timeout=60)
            messages.append(
                {
                    "role": "assistant",
                    "content": [one.model_dump(exclude_none=True) for one in answer.content],
                }
            )
            called = [block for block in answer.content if block.type == "tool_use"]
            assert answer.stop_reason == ("tool_use" if called else "end_turn")
            results = [
                {
                    "type": "tool_result",
                    "tool_use_id": block.id,
                    "content": tools.run(block.name, block.input),
                }
                for block in called
            ]
            if not called:
                assert answer.content[-1].text == last
                break
            messages.append({"role": "user", "content": results})
    assert tools.calls == CALLS
    check_history(script.prompts[-1], conversation)


def test_thoughts_are_blocks_of_their_own(hosted: Served, script: Script) -> None:
    given: Any = {
        "model": MODEL,
        "max_tokens": 5000,
        "messages": [{"role": "user", "content": "hi"}],
    }
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    script.turns = [THOUGHT, THOUGHT, "Again.<turn|>"]
    answer = client(hosted).messages.create(**given, **thinking, timeout=60)
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert answer.content[0].thinking == "Let me think."
    assert "<|think|>" in script.prompts[-1]
    with client(hosted).messages.stream(**given, **thinking) as stream:
        assert [block.type for block in stream.get_final_message().content] == ["thinking", "text"]
    history = [
        *given["messages"],
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": "more"},
    ]
    client(hosted).messages.create(**(given | {"messages": history}), timeout=60)
    assert "The answer.<turn|>" in script.prompts[-1]
    assert "<|think|>" not in script.prompts[-1]


def test_a_stop_sequence_is_named(hosted: Served, script: Script) -> None:
    script.turns = ["one two three<turn|>"]
    answer = client(hosted).messages.create(
        model=MODEL, max_tokens=50, messages=[{"role": "user", "content": "count"}], stop_sequences=["x", " three", " tw"],
    )  # fmt: skip
    assert (answer.content[0].text, answer.stop_reason, answer.stop_sequence) == (
        "one",
        "stop_sequence",
        " tw",
    )


def test_tokens_are_counted(served: Served) -> None:
    found = client(served).messages.count_tokens(model=MODEL, messages=MESSAGES)
    assert found.input_tokens == len(served.model.chat_prompt(MESSAGES))


def test_an_answer_may_have_a_schema(served: Served) -> None:
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer"}},
        "required": ["age"],
        "additionalProperties": False,
    }
    answer = client(served).messages.create(
        model=MODEL, max_tokens=40, messages=MESSAGES, output_config={"format": {"type": "json_schema", "schema": schema}}, extra_body=QUICK,
    )  # fmt: skip
    assert isinstance(json.loads(answer.content[0].text)["age"], int)


def test_models_are_listed_in_its_form(served: Served) -> None:
    (found,) = client(served).models.list().data
    assert (found.id, found.type) == (MODEL, "model")
    assert client(served).models.retrieve(MODEL).display_name == MODEL


def test_errors_have_its_shape(served: Served) -> None:
    given: Any = {"model": MODEL, "max_tokens": 4, "messages": MESSAGES}
    for changes, error in (
        ({"model": "other"}, anthropic.NotFoundError),
        ({"max_tokens": 0}, anthropic.BadRequestError),
        ({"messages": []}, anthropic.BadRequestError),
        ({"extra_body": {"temperatur": 1}}, anthropic.BadRequestError),
    ):
        with pytest.raises(error) as caught:
            client(served).messages.create(**(given | changes))
        assert caught.value.body["type"] == "error"
    with pytest.raises(anthropic.AuthenticationError):
        client(served, "wrong").messages.create(**given)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": "user", "content": [{"type": "server_tool_use"}]}]}, "messages[0].content[0]"),
    ({"messages": [*MESSAGES, {"role": "assistant", "content": "I"}]}, "last message"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0] needs a role"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0]"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]}, "must follow"),
    ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0]"),
    ({"tool_choice": {"type": "tool"}}, "name"),
    ({"tool_choice": {"type": "any"}}, "no tools"),
    ({"mcp_servers": []}, "mcp_servers"),
    ({"stop_sequences": ["x"] * 100}, "stop"),
    ({"thinking": {"type": "yes"}}, "thinking"),
    ({"max_tokens": True}, "max_tokens"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), WRONG, ids=lambda value: ascii(value)[:40])
def test_what_is_wrong_is_told(served: Served, changes: dict[str, Any], words: str) -> None:
    body = {"model": MODEL, "messages": MESSAGES, "max_tokens": 4} | changes
    for stream in (False, True):
        found = httpx2.post(
            f"{served.url}/messages",
            json=body | {"stream": stream},
            headers={"x-api-key": "secret"},
        )
        assert found.status_code == 400, found.text
        assert found.json()["error"]["type"] == "invalid_request_error"
        assert words in found.json()["error"]["message"]


def test_what_a_coding_agent_sends_beside_is_left_out_and_named(served: Served) -> None:
    body = {
        "model": MODEL, "messages": MESSAGES, "max_tokens": 4, "metadata": {"user_id": "x"}, "context_management": {"edits": []},
        "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}], "stream": True, "drafts": True,
    }  # fmt: skip
    found = httpx2.post(
        f"{served.url}/messages?beta=true",
        json=body | QUICK,
        headers={"authorization": "Bearer secret"},
    )
    assert found.status_code == 200
    assert found.headers["x-redraft-ignored"] == "context_management, metadata"
    kinds = [
        line.removeprefix("event: ")
        for line in found.text.splitlines()
        if line.startswith("event: ")
    ]
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert "draft" in kinds
