"""Fields of OpenAI's requests: their types, those that contradict, and those that mean nothing."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from redraft.server.openai.schemas import IGNORED_HEADER
from tests.server.scripted import Script, hosted, script
from tests.server.test_openai import Served

__all__ = ["hosted", "script"]

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
TEXT: dict[str, Any] = {"prompt": "x"}


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


TOOLS = [function("f"), function("g")]
CALL = "<|tool_call>call:{}{{}}<tool_call|>"


def post(hosted: Served, **body: Any) -> httpx2.Response:
    path = "completions" if "prompt" in body else "chat/completions"
    answer = httpx2.post(f"{hosted.url}/{path}", json={"model": "small-text"} | body, timeout=60)
    assert answer.status_code in (200, 400), answer.text
    return answer


def refused(hosted: Served, **body: Any) -> str:
    answer = post(hosted, **body)
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"]["message"])


@pytest.mark.parametrize(
    "name", ["max_tokens", "max_completion_tokens", "n", "seed", "top_logprobs"]
)
@pytest.mark.parametrize("value", [True, "5", 5.0, "x", [5]])
def test_integers_are_integers(hosted: Served, name: str, value: Any) -> None:
    assert "valid integer" in refused(hosted, **CHAT, logprobs=True, **{name: value})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"temperature": "0.5"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"timeout": "3"}, "timeout"),
        ({"stream": "true"}, "stream"),
        ({"logprobs": 1}, "logprobs"),
        ({"enable_thinking": "false"}, "enable_thinking"),
        ({"chat_template_kwargs": {"enable_thinking": "false"}}, "must be true or false"),
        ({"stream_options": {"include_usage": "yes"}}, "include_usage"),
        ({"logit_bias": {"5": "1"}}, "logit_bias"),
        ({"logit_bias": {"5": True}}, "logit_bias"),
        ({"top_k": "5"}, "top_k"),
        ({"top_k": 5.0}, "top_k"),
        ({"max_new_tokens": "5"}, "max_new_tokens"),
        ({"max_tokens": 3, "max_new_tokens": 4}, "two limits of one thing"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "two limits of one thing"),
        ({"max_completion_tokens": 3, "max_new_tokens": -1}, "two limits of one thing"),
        ({"max_tokens": 1, "max_new_tokens": True}, "two limits of one thing"),
        ({"max_tokens": 3, "n_predict": 4}, "two limits of one thing"),
        ({"n_predict": 0}, "n_predict=0 writes nothing"),
        ({"skip_special_tokens": False}, "skip_special_tokens=False is not supported"),
        ({"top_logprobs": 2}, "logprobs: true"),
        ({"top_logprobs": 2, "logprobs": False}, "logprobs: true"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"reasoning_effort": "much"}, "reasoning_effort"),
        ({"verbosty": "low"}, "did you mean 'verbosity'"),
        ({"max_token": 5}, "did you mean 'max_tokens'"),
        ({"temprature": 5}, "did you mean 'temperature'"),
        ({"tool": []}, "did you mean 'tools'"),
        ({"tool_choice": "required"}, "no tools"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "name": "h"}}, "'h'"),
        ({"tools": TOOLS, "tool_choice": {"type": "custom", "name": "f"}}, "cannot be read"),
        ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, "cannot be read"),
        ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [function("h")]}}}, "'h'"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_is_refused_by_name(
    hosted: Served, wrong: dict[str, Any], words: str
) -> None:
    assert words in refused(hosted, **CHAT, **wrong)


def test_one_limit_may_have_several_names(hosted: Served, script: Script) -> None:
    script.turns = ["hello"] * 2
    limits = {"max_tokens": 3, "max_new_tokens": 3, "max_completion_tokens": 3}
    assert post(hosted, **CHAT, **limits).json()["usage"]["completion_tokens"] == 3
    assert post(hosted, **TEXT, max_new_tokens=3).json()["usage"]["completion_tokens"] == 3
    script.turns = ["hello"] * 2
    assert post(hosted, **CHAT, n_predict=3).json()["usage"]["completion_tokens"] == 3
    assert (
        post(hosted, **CHAT, n_predict=-1, max_tokens=3).json()["usage"]["completion_tokens"] == 3
    )


def test_an_empty_model_is_the_first_one(hosted: Served, script: Script) -> None:
    script.turns = ["hello<turn|>"] * 2
    for body in (CHAT, TEXT):
        assert post(hosted, **body, model="", max_tokens=3).json()["model"] == "small-text"


NOTHING: dict[str, Any] = {
    "modalities": ["text"],
    "verbosity": "low",
    "prediction": {"type": "content", "content": "x"},
    "service_tier": "flex",
    "store": True,
    "metadata": {"a": "b"},
    "user": "me",
    "safety_identifier": "me",
    "prompt_cache_key": "x",
    "parallel_tool_calls": True,
    "stream_options": {"include_obfuscation": True},
    # What clients of llama.cpp and of brokers send beside.
    "id_slot": 0,
    "samplers": ["min_p"],
    "cache_prompt": True,
    "keep_alive": "5m",
    "skip_special_tokens": True,
}


@pytest.mark.parametrize("stream", [False, True])
def test_what_means_nothing_is_accepted_and_named(
    hosted: Served, script: Script, stream: bool
) -> None:
    script.turns = ["hello<turn|>"] * 3
    answer = post(hosted, **CHAT, **NOTHING, stream=stream, reasoning_effort="low")
    names = {
        name if name != "stream_options" else f"{name}.include_obfuscation" for name in NOTHING
    }
    assert set(answer.headers[IGNORED_HEADER].split(", ")) == names
    assert IGNORED_HEADER not in post(hosted, **CHAT, user=None).headers
    assert post(hosted, **TEXT, user="me", max_tokens=3).headers[IGNORED_HEADER] == "user"


NAMED = {"type": "function", "function": {"name": "g"}}
FLAT = {"type": "function", "name": "g"}


def allowed(mode: str, *, nested: bool) -> dict[str, Any]:
    inner = {"mode": mode, "tools": [NAMED if nested else FLAT]}
    return {"type": "allowed_tools"} | ({"allowed_tools": inner} if nested else inner)


@pytest.mark.parametrize(
    ("choice", "writes", "offers"),
    [
        (NAMED, ["g"], "fg"),
        (FLAT, ["g"], "fg"),
        (allowed("auto", nested=True), ["g", ""], "g"),
        (allowed("required", nested=True), ["g"], "g"),
        (allowed("auto", nested=False), ["g", ""], "g"),
        (allowed("required", nested=False), ["g"], "g"),
    ],
)
def test_all_forms_of_tool_choice_are_read(
    hosted: Served, script: Script, choice: Any, writes: list[str], offers: str
) -> None:
    for name in ("g", ""):
        script.turns = [CALL.format(name) if name else "hello<turn|>"]
        body: Any = CHAT | {"tools": TOOLS, "tool_choice": choice, "max_tokens": 256}
        if name not in writes:
            assert "the constraint admits" in refused(hosted, **body)
            continue
        (one,) = post(hosted, **body).json()["choices"]
        calls = one["message"].get("tool_calls", [])
        assert [call["function"]["name"] for call in calls] == ([name] if name else [])
    for name in "fg":
        assert (f"declaration:{name}" in script.prompts[-1]) == (name in offers)


def test_log_probabilities_are_those_of_the_content(hosted: Served, script: Script) -> None:
    thought = "<|channel>thought\nhm<channel|>"
    for turn, options, text in [
        (f"{thought}so {CALL.format('f')} and<turn|>", {"tools": TOOLS}, "so  and"),
        (f"{thought}so \n{CALL.format('f')}\n<turn|>", {"tools": TOOLS}, "so \n"),
        ("so <|tool_call>call:f{a:x}<tool_call|><turn|>", {"tools": TOOLS}, None),
        ("one two three<turn|>", {"stop": ["two", "never"]}, "one "),
    ]:
        script.turns = [turn]
        (choice,) = post(hosted, **CHAT, logprobs=True, **options).json()["choices"]
        content = choice["message"]["content"]
        assert content == (text or turn.removesuffix("<turn|>"))
        assert "".join(one["token"] for one in choice["logprobs"]["content"]) == content
    script.turns = ["one two"]
    (choice,) = post(hosted, **TEXT, logprobs=1, stop="tw", max_tokens=20).json()["choices"]
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"] == "one "


def test_what_a_model_refused_is_part_of_the_history(hosted: Served, script: Script) -> None:
    history = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "refusal": "I would rather not."},
        {"role": "user", "content": "b"},
    ]
    script.turns = ["hello<turn|>"]
    assert post(hosted, messages=history).status_code == 200
    assert "I would rather not." in script.prompts[-1]


def test_a_member_that_comes_twice_in_a_call_of_the_history_is_refused(hosted: Served) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1,"a":2}'}}
    history = [*CHAT["messages"], {"role": "assistant", "tool_calls": [call]}]
    assert "'a' comes twice" in refused(hosted, messages=history)
