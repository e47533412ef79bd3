"""Ollama's API with Ollama's own client, over a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

import redraft
from tests.server.scripted import Script, hosted, script
from tests.server.test_agents import CALLS, CANONICAL, ODD, PARAMETERS, Tools, check_history
from tests.server.test_openai import MESSAGES, QUICK, Served

ollama = pytest.importorskip("ollama")

__all__ = ["hosted", "script"]
MODEL = "small-text"
OPTIONS = QUICK | {"seed": 3, "num_predict": 40, "num_ctx": 2048}
THOUGHT = "<|channel>thought\nLet me think.\n<channel|>The answer.<turn|>"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served(max_batch_size=4, max_waiting=8)
    yield server
    server.close()


def client(served: Served) -> Any:
    return ollama.Client(host=served.url.removesuffix("/v1"))


@pytest.mark.parametrize("name", [MODEL, f"{MODEL}:latest"])
def test_a_chat_is_what_the_model_writes(served: Served, name: str) -> None:
    expected = served.model.generate(messages=MESSAGES, **QUICK, seed=3, max_new_tokens=40)
    answer = client(served).chat(model=name, messages=MESSAGES, options=OPTIONS)
    assert answer.message.content == expected.text
    assert answer.done_reason == ("length" if expected.reason == "length" else "stop")
    assert answer.eval_count == len(expected.tokens)
    parts = list(client(served).chat(model=name, messages=MESSAGES, options=OPTIONS, stream=True))
    assert "".join(part.message.content for part in parts) == expected.text
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]


def test_a_prompt_is_a_message_or_continued_as_it_is(served: Served) -> None:
    ask, prompt = client(served), MESSAGES[0]["content"]
    expected = served.model.generate(messages=MESSAGES, **QUICK, seed=3, max_new_tokens=40)
    assert ask.generate(model=MODEL, prompt=prompt, options=OPTIONS).response == expected.text
    raw = served.model.generate(prompt, **QUICK, seed=3, max_new_tokens=40)
    assert ask.generate(model=MODEL, prompt=prompt, raw=True, options=OPTIONS).response == raw.text
    parts = ask.generate(model=MODEL, prompt=prompt, raw=True, options=OPTIONS, stream=True)
    assert "".join(part.response for part in parts) == raw.text


@pytest.mark.parametrize("stream", [False, True])
def test_a_suffix_is_filled_in_front_of(served: Served, stream: bool) -> None:
    # As Continue sends it.
    expected = served.model.infill(["x = 1\n", redraft.Hole(1, 8), "\ny = x\n"], **QUICK, seed=3)
    answer = client(served).generate(
        model=MODEL, prompt="x = 1\n", suffix="\ny = x\n", raw=True, options=OPTIONS | {"num_predict": 8}, stream=stream,
        keep_alive=1800,
    )  # fmt: skip
    parts = list(answer) if stream else [answer]
    assert "".join(part.response for part in parts) == expected.fills[0]
    assert parts[-1].done


class Record(BaseModel):
    name: str
    age: int


def test_an_answer_may_have_a_schema(served: Served) -> None:
    schema = Record.model_json_schema()
    answer = client(served).chat(
        model=MODEL, messages=MESSAGES, format=schema, options=OPTIONS | {"num_predict": 60}
    )
    Record.model_validate_json(answer.message.content)
    raw = client(served).generate(
        model=MODEL, prompt="x", raw=True, format=schema, options=OPTIONS | {"num_predict": 60}
    )
    Record.model_validate_json(raw.response)
    some = client(served).generate(model=MODEL, prompt="x", format="json", options=OPTIONS)
    assert isinstance(json.loads(some.response), dict)


def tools_of() -> list[Any]:
    return [
        {
            "type": "function",
            "function": {
                "name": name, "description": "x",
                "parameters": {
                    "type": "object", "required": list(each),
                    "properties": {key: {"type": kind, "description": key} for key, kind in each.items()},
                },
            },
        }
        for name, each in PARAMETERS.items()
    ]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("form", ["strict", "odd"])
def test_ten_turns_with_two_tools(hosted: Served, script: Script, stream: bool, form: str) -> None:
    conversation = CANONICAL if form == "strict" else ODD
    script.turns = [turn for _, turns, _ in conversation for turn in turns]
    ask, tools = client(hosted), Tools()
    messages: list[Any] = []
    for user, _, last in conversation:
        messages.append({"role": "user", "content": user})
        while True:
            answer = ask.chat(model=MODEL, messages=messages, tools=tools_of(), stream=stream)
            parts = list(answer) if stream else [answer]
            calls = [call for part in parts for call in part.message.tool_calls or []]
            content = "".join(part.message.content or "" for part in parts)
            messages.append({"role": "assistant", "content": content, "tool_calls": calls or None})
            for call in calls:
                result = tools.run(call.function.name, dict(call.function.arguments))
                messages.append(
                    {"role": "tool", "content": result, "tool_name": call.function.name}
                )
            if not calls:
                assert content == last
                break
    assert tools.calls == CALLS
    check_history(script.prompts[-1], conversation)


def test_results_without_a_name_follow_their_calls(hosted: Served, script: Script) -> None:
    script.turns = ["Done.<turn|>"]
    calls = [{"function": {"name": name, "arguments": {"a": 1}}} for name in ("add", "look")]
    history: list[Any] = [
        *MESSAGES, {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "three"}, {"role": "tool", "content": "four"},
    ]  # fmt: skip
    client(hosted).chat(model=MODEL, messages=history)
    assert "response:add{value:" in script.prompts[-1]
    assert "response:look{value:" in script.prompts[-1]


@pytest.mark.parametrize("stream", [False, True])
def test_thoughts_are_told_apart(hosted: Served, script: Script, stream: bool) -> None:
    script.turns = [THOUGHT] * 2
    answer = client(hosted).chat(model=MODEL, messages=MESSAGES, think=True, stream=stream)
    parts = [part.message for part in (answer if stream else [answer])]
    assert "".join(part.thinking or "" for part in parts) == "Let me think."
    assert "".join(part.content or "" for part in parts) == "The answer."
    assert "<|think|>" in script.prompts[-1]
    said = client(hosted).generate(model=MODEL, prompt="hi", think=False)
    assert (said.thinking, said.response) == ("Let me think.", "The answer.")
    assert "<|think|>" not in script.prompts[-1]


def test_the_models_are_described(served: Served) -> None:
    ask = client(served)
    (found,) = ask.list().models
    assert found.model == f"{MODEL}:latest"
    assert found.size > 10**6
    assert ask.ps().models[0].model == found.model
    shown = ask.show(found.model)
    assert shown.modelinfo["diffusion-gemma.context_length"] == 4096
    assert "insert" in shown.capabilities
    url = f"http://127.0.0.1:{served.port}"
    assert httpx2.get(f"{url}/api/version").json()["version"]
    assert ask.generate(model=MODEL, prompt="").done_reason == "load"
    assert ask.chat(model=MODEL, keep_alive=0).done_reason == "unload"


def test_errors_have_its_shape(served: Served) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        client(served).chat(model="other", messages=MESSAGES)
    assert caught.value.status_code == 404
    assert "not hosted here" in caught.value.error
    with pytest.raises(ollama.ResponseError, match="no POST /api/embed"):
        client(served).embed(model=MODEL, input="x")


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("/api/chat", {"messages": [{"role": "user"}, {"content": "x"}]}, "role"),
    ("/api/chat", {"messages": [{"role": "tool", "content": "x"}]}, "must follow"),
    ("/api/chat", {"messages": MESSAGES, "format": "xml"}, "format"),
    ("/api/chat", {"messages": MESSAGES, "format": {"type": "strange"}}, "strange"),
    ("/api/chat", {"messages": MESSAGES, "options": {"temperatur": 1}}, "temperature"),
    ("/api/chat", {"messages": MESSAGES, "options": {"num_predict": "5"}}, "num_predict"),
    ("/api/chat", {"messages": MESSAGES, "options": {"max_denoising_steps": 10**6}}, "max_denoising_steps"),
    ("/api/chat", {"messages": MESSAGES, "think": "much"}, "think"),
    ("/api/chat", {"messages": MESSAGES, "tools": [{"type": "function"}]}, "tool"),
    ("/api/generate", {"prompt": "x", "template": "{{ .Prompt }}"}, "raw"),
    ("/api/generate", {"prompt": "x", "context": [1]}, "/api/chat"),
    ("/api/generate", {"prompt": "x", "suffix": "y", "think": True}, "suffix"),
    ("/api/generate", {"prompt": "x", "suffix": "y", "options": {"max_denoising_steps": 10**6}}, "max_denoising_steps"),
    ("/api/generate", {"prompt": "x", "raw": True, "options": {"stop": ["x"] * 99}}, "stop"),
    ("/api/show", {}, "model is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "words"), WRONG, ids=lambda one: str(one)[:40])
def test_what_is_wrong_is_told(served: Served, path: str, body: dict[str, Any], words: str) -> None:
    url = f"http://127.0.0.1:{served.port}{path}"
    named = {} if path == "/api/show" else {"model": MODEL}
    found = httpx2.post(url, content=json.dumps(named | body))
    assert found.status_code == 400, found.text
    assert words in found.json()["error"]


def test_drafts_and_what_means_nothing(served: Served) -> None:
    body = {
        "model": MODEL,
        "messages": MESSAGES,
        "drafts": True,
        "keep_alive": "5m",
        "options": OPTIONS | {"num_predict": 8},
    }
    found = httpx2.post(f"http://127.0.0.1:{served.port}/api/chat", json=body)
    assert found.headers["content-type"] == "application/x-ndjson"
    assert found.headers["x-redraft-ignored"] == "keep_alive, options.num_ctx"
    assert [line for line in map(json.loads, found.text.splitlines()) if "draft" in line]


def test_a_prompt_beyond_the_context_is_refused_and_a_limit_beyond_it_is_not(
    served: Served,
) -> None:
    url = f"http://127.0.0.1:{served.port}/api/chat"
    quick = {"eos_token_id": list(range(1280)), "max_denoising_steps": 1, "num_predict": 10**6}
    body = {"model": MODEL, "messages": MESSAGES, "stream": False, "options": quick}
    assert httpx2.post(url, json=body, timeout=60).status_code == 200
    long = [{"role": "user", "content": "x " * 9000}]
    assert httpx2.post(url, json=body | {"messages": long}).status_code == 400
