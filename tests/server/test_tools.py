"""Tools, formats, thoughts and lengths of a chat, over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient

import redraft
from redraft.engine import Share
from redraft.grammar import JsonSchema
from redraft.server import Settings, create_app
from redraft.server.runtime.metrics import Metrics
from redraft.server.runtime.preparing import Preparing
from redraft.server.runtime.registry import HostedModel
from redraft.testing import tiny_checkpoint
from tests.server.scripted import Script, hosted, script
from tests.server.test_openai import Served

__all__ = ["hosted", "script"]

USER: Any = [{"role": "user", "content": "hello"}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
CALL = "<|tool_call>call:f{n:3}<tool_call|>"
RESPONSE_FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}


def tool(*, strict: bool) -> Any:
    return {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": strict}}


def chat(served: Served, **options: Any) -> Any:
    given: Any = {"model": "small-text", "messages": USER} | options
    return served.client().chat.completions.create(**given).choices[0]


@pytest.mark.parametrize("strict", [True, False])
def test_a_response_format_binds_the_final_answer_only(
    hosted: Served, script: Script, strict: bool
) -> None:
    given = {"tools": [tool(strict=strict)], "response_format": RESPONSE_FORMAT}
    script.turns = ['{"n": 1}<turn|>', f"{CALL}{CALL}<|tool_response>"]
    assert json.loads(chat(hosted, **given).message.content) == {"n": 1}
    choice = chat(hosted, **given)
    assert choice.finish_reason == "tool_calls"
    assert [one.function.arguments for one in choice.message.tool_calls] == ['{"n": 3}'] * 2
    for wrong in ("hello<turn|>", f'{{"n": 1}}{CALL}'):
        script.turns = [wrong]
        with pytest.raises(openai.BadRequestError, match="that the constraint admits"):
            chat(hosted, **given)
    script.turns = [f"{CALL}{CALL}"]
    with pytest.raises(openai.BadRequestError, match="that the constraint admits"):
        chat(hosted, **given, parallel_tool_calls=False)


def test_arguments_of_strict_tools_match_and_the_text_stays_free(
    hosted: Served, script: Script
) -> None:
    given = {"tools": [tool(strict=True)], "stop": ["never"]}
    script.turns = [f"so {CALL} and{CALL}", "plain é<turn|>"]
    assert len(chat(hosted, **given).message.tool_calls) == 2
    assert chat(hosted, **given).message.content == "plain é"
    wrong = "so <|tool_call>call:f{n:x}<tool_call|> on"
    script.turns = [wrong]
    with pytest.raises(openai.BadRequestError, match="that the constraint admits"):
        chat(hosted, **given)
    script.turns = [wrong]
    choice = chat(hosted, tools=[tool(strict=False)])
    assert (choice.finish_reason, choice.message.content) == ("stop", wrong)
    (invalid,) = choice.message.model_extra["invalid_tool_calls"]
    assert "in place of 'x'" in invalid["error"]


@pytest.mark.parametrize("strict", [True, False])
def test_a_channel_that_the_prompt_opens_is_reasoning_from_the_first_token(
    hosted: Served, script: Script, strict: bool
) -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"n": 3}'}}]
    messages = [
        *USER,
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "9"},
    ]
    given: dict[str, Any] = {
        "messages": messages,
        "extra_body": {"chat_template_kwargs": {"enable_thinking": True}},
        "tools": [tool(strict=strict)],
    }
    script.turns = [
        f"it is 9, no {CALL}\n<channel|>Nine.<turn|>",
        "a<channel|>" + '{"n": 9}<turn|>',
    ]
    message = chat(hosted, **given).message
    assert script.prompts[0].endswith("<|channel>thought\n")
    assert message.content == "Nine."
    assert message.reasoning_content == "it is 9, no call:f{n:3}"
    assert not message.tool_calls
    message = chat(hosted, **given, response_format=RESPONSE_FORMAT).message
    assert (message.reasoning_content, message.content) == ("a", '{"n": 9}')
    script.turns = [f"hm<channel|>{CALL}"]
    assert chat(hosted, **given, tool_choice="required").finish_reason == "tool_calls"


def test_a_stop_string_ends_the_text_beside_a_call_too(hosted: Served, script: Script) -> None:
    for stream in (False, True):
        script.turns = [f"so {CALL} far STOP away<turn|>"]
        given: Any = {"model": "small-text", "messages": USER, "tools": [tool(strict=False)]}
        answer = hosted.client().chat.completions.create(**given, stop=["STOP"], stream=stream)
        if stream:
            deltas = [one.delta for chunk in answer for one in chunk.choices]
            assert "".join(delta.content or "" for delta in deltas) == "so  far "
            assert sum(len(delta.tool_calls or []) for delta in deltas) == 1
        else:
            assert answer.choices[0].message.content == "so  far "


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny")
    path = folder / "generation_config.json"
    raw = json.loads(path.read_text()) | {"top_k": 64, "top_p": 0.95, "do_sample": True}
    path.write_text(json.dumps(raw))
    return folder


def test_filters_do_not_make_constraints_fail(folder: Path) -> None:
    model = redraft.load(folder)
    assert (model.generation_config.top_k, model.generation_config.top_p) == (64, 0.95)
    quick = {"max_denoising_steps": 2, "max_new_tokens": 12}
    finished = model.generate("x", constraint=JsonSchema({"type": "boolean"}), **quick)
    assert finished.parsed in (True, False)
    hole = redraft.Hole(1, 6, JsonSchema({"type": "boolean"}))
    assert model.infill(["a ", hole, " b"], max_denoising_steps=2).fills[0] in ("true", "false")
    with TestClient(create_app({"m": model}, Settings()), base_url="http://127.0.0.1") as client:
        body = {"model": "m", "messages": USER, "max_denoising_steps": 2, "max_tokens": 12}
        given = body | {"response_format": {"type": "choice", "choice": ["yes", "no"]}}
        answer = client.post("/v1/chat/completions", json=given)
        assert answer.json()["choices"][0]["message"]["content"] in ("yes", "no")
        answer = client.post("/v1/chat/completions", json=given | {"top_p": 0.9, "top_k": 1})
        assert answer.json()["choices"][0]["message"]["content"] in ("yes", "no")
        penalties = body | {"frequency_penalty": 1.5, "presence_penalty": -1}
        assert client.post("/v1/chat/completions", json=penalties).status_code == 200
        penalties["frequency_penalty"] = 3
        assert client.post("/v1/chat/completions", json=penalties).status_code == 400


@pytest.mark.parametrize("max_length", [None, 100])
def test_without_max_tokens_a_chat_writes_to_what_the_context_leaves(
    tmp_path: Path, max_length: int | None
) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny", max_position_embeddings=150)
    path = folder / "generation_config.json"
    raw = json.loads(path.read_text()) | ({"max_length": max_length} if max_length else {})
    path.write_text(json.dumps(raw))
    model = redraft.load(folder)
    with TestClient(create_app({"m": model}, Settings()), base_url="http://127.0.0.1") as client:
        body: dict[str, Any] = {"model": "m", "messages": USER, "eos_token_id": [], "seed": 1}
        body |= {"max_denoising_steps": 1}
        answer = client.post("/v1/chat/completions", json=body).json()
        assert answer["usage"]["total_tokens"] == (max_length or 150)
        assert answer["choices"][0]["finish_reason"] == "length"
        answer = client.post("/v1/chat/completions", json=body | {"max_tokens": 9}).json()
        assert answer["usage"]["completion_tokens"] == 9
        body["messages"] = [{"role": "user", "content": "x" * 200}]
        answer = client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 400
        assert "context" in answer.text


def test_an_answer_without_limit_takes_an_equal_share_of_the_memory(folder: Path) -> None:
    model = redraft.load(folder)

    def left(memory: int | None) -> int:
        one = HostedModel(
            "m", model, Metrics(), Settings(max_batch_size=2), memory, 0, Preparing(1)
        )
        try:
            found = one.tokens_left(10)
            if memory and found != 32:
                share = Share(rows=1, caches=1, tokens=found + 10)
                assert one.engine.memory.needed([share]) <= memory // 2
            return found
        finally:
            one.worker.close()

    assert left(None) == 502 == model.tokens_left([2] * 10)
    assert left(1 << 40) == 502
    assert left(1) == 32
    sizes = [left(size) for size in range(2_000_000, 40_000_000, 2_000_000)]
    assert sizes == sorted(sizes)
