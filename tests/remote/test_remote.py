"""Other engines behind redraft's API, by recorded answers: vLLM's dialect, OpenAI's, ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import httpx2
import pytest

import redraft
from redraft.errors import (
    ConfigError,
    RemoteEngineError,
    RequestError,
    UnknownOptionError,
    UnsupportedByEngineError,
)
from redraft.events import Committed, Draft, Finished

NAME = "google/diffusiongemma-26B-A4B-it"
LISTED = {
    "vllm": {"id": NAME, "object": "model", "owned_by": "vllm", "root": NAME, "max_model_len": 9},
    "redraft": {"id": "small", "object": "model", "owned_by": "redraft", "redraft": {}},
    "openai": {"id": "gpt", "object": "model", "owned_by": "somebody"},
}
TOOL = {"type": "function", "function": {"name": "look"}}
SAID = [{"role": "user", "content": "Hello"}]


def vllm(delta: Any = None, reason: Any = None, **more: Any) -> dict[str, Any]:
    """Return a chunk as vLLM sends it, a canvas at a time."""
    choices = [] if delta is None else [
        {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason,
         "stop_reason": more.pop("stop_reason", None), "token_ids": None}
    ]  # fmt: skip
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": NAME,
            "choices": choices} | more  # fmt: skip


VLLM_CHAT = [
    vllm({"role": "assistant", "content": ""}),
    vllm({"reasoning": "I think", "reasoning_content": None}),
    vllm({"content": "A text\u2028with \u0085 ends, "}),
    vllm({"content": "and more."}),
    vllm({"content": ""}, "stop", stop_reason=106),
    vllm(usage={"prompt_tokens": 11, "total_tokens": 300, "completion_tokens": 289,
                "prompt_tokens_details": None}),
]  # fmt: skip


def sse(chunks: Iterable[Any], end: str = "data: [DONE]\n\n") -> bytes:
    lines = [": ping\n\n", *(f"data: {json.dumps(c, ensure_ascii=False)}\r\n\r\n" for c in chunks)]
    return ("".join(lines) + end).encode()


class Recorded:
    """A server whose answers are recorded; it keeps the requests."""

    def __init__(self, engine: str, answer: bytes = b"", status: int = 200) -> None:
        self.engine, self.answer, self.status = engine, answer, status
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.paths.append(request.url.path)
        if request.method == "GET":
            return httpx2.Response(200, json={"object": "list", "data": [LISTED[self.engine]]})
        self.bodies.append(json.loads(request.content))
        parts = [self.answer[at : at + 7] for at in range(0, len(self.answer), 7)]
        return httpx2.Response(self.status, content=iter(parts))

    def connect(self, **options: Any) -> redraft.RemoteModel:
        return redraft.connect(
            "http://engine:8000/", transport=httpx2.MockTransport(self), **options
        )


def test_vllms_answer_becomes_events() -> None:
    server = Recorded("vllm", sse(VLLM_CHAT))
    with server.connect() as model:
        *texts, last = model.stream(messages=SAID, max_new_tokens=300, stop=["X"], thinking=True)
    assert [one.text for one in texts if isinstance(one, Committed)] == [
        "A text\u2028with \u0085 ends, ",
        "and more.",
    ]
    assert isinstance(last, Finished)
    assert last.text == "A text\u2028with \u0085 ends, and more."
    assert (last.reasoning, last.reason, last.seed) == ("I think", "stop", None)
    assert (last.statistics.prompt_tokens, last.statistics.new_tokens) == (11, 289)
    assert server.paths == ["/v1/models", "/v1/chat/completions"]
    (body,) = server.bodies
    assert body["chat_template_kwargs"] == {"enable_thinking": True}
    assert (body["model"], body["max_tokens"], body["stop"]) == (NAME, 300, ["X"])
    assert "seed" not in body


def test_a_stop_string_and_a_length_are_told_apart() -> None:
    ended = vllm({"content": "a"}, "stop", stop_reason="X")
    assert Recorded("vllm", sse([ended])).connect().generate(messages=SAID).reason == "stop_string"
    ended = vllm({"content": "a"}, "length")
    assert Recorded("vllm", sse([ended])).connect().generate(messages=SAID).reason == "length"


@pytest.mark.parametrize(
    ("engine", "options", "word"),
    [
        ("vllm", {"seed": 1}, "seed"),
        ("vllm", {"temperature": 0.5}, "temperature"),
        ("vllm", {"min_p": 0.5}, "min_p"),
        ("vllm", {"constraint": redraft.Regex("a+")}, "constraint"),
        ("vllm", {"frozen": {0: 5}}, "frozen"),
        ("vllm", {"drafts": True}, "drafts"),
        ("vllm", {"sampler": "klass"}, "sampler"),
        ("vllm", {"method": "autoregressive"}, "method"),
        ("vllm", {"max_denoising_steps": 8}, "max_denoising_steps"),
        ("openai", {"drafts": True}, "drafts"),
        ("openai", {"thinking": True}, "thinking"),
        ("openai", {"constraint": redraft.Regex("a+")}, "regex"),
        ("openai", {"entropy_bound": 0.2}, "entropy_bound"),
        ("redraft", {"frozen": {0: 5}}, "frozen"),
        ("redraft", {"constraint": redraft.ToolCalls([TOOL])}, "ToolCalls"),
    ],
)
def test_what_an_engine_lacks_is_refused_before_the_request(
    engine: str, options: dict[str, Any], word: str
) -> None:
    server = Recorded(engine)
    with pytest.raises(UnsupportedByEngineError, match=word):
        server.connect().stream(messages=SAID, **options)
    assert server.bodies == []


def test_wrong_arguments_are_refused_before_the_request() -> None:
    server = Recorded("redraft")
    model = server.connect()
    wrong: list[tuple[dict[str, Any], type[Exception]]] = [
        ({}, RequestError),
        ({"prompt": "a", "messages": SAID}, RequestError),
        ({"prompt": 3}, RequestError),
        ({"prompt": "a", "temprature": 1}, UnknownOptionError),
        ({"prompt": "a", "top_p": 7.0}, ConfigError),
        ({"prompt": "a", "thinking": True}, RequestError),
    ]
    for given, kind in wrong:
        with pytest.raises(kind):
            model.generate(**given)
    assert server.bodies == []


def test_our_own_server_takes_constraints_seeds_and_drafts() -> None:
    draft = {"index": 0, "canvas": 0, "step": 1, "changed": [], "accepted": [1], "revised": [0],
             "confidence": [50, 100], "entropy": 0.5, "text": "{"}  # fmt: skip
    chunks = [
        {"choices": [], "draft": draft},
        {"choices": [{"index": 0, "text": '{"a": 1}', "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 4, "steps": [[3]]}},
    ]
    server = Recorded("redraft", sse(chunks))
    schema = {"type": "object"}
    drawn, text, last = server.connect().stream("x", constraint=schema, seed=3, entropy_bound=0.2)
    assert isinstance(drawn, Draft)
    assert (drawn.accepted, drawn.revised, drawn.confidence) == (
        (False, True),
        (True, False),
        (0.5, 1.0),
    )
    assert isinstance(text, Committed)
    assert isinstance(last, Finished)
    assert (last.parsed, last.seed, last.statistics.steps_per_canvas) == ({"a": 1}, 3, (3,))
    (body,) = server.bodies
    assert body["response_format"]["json_schema"]["schema"] == schema
    assert (body["seed"], body["entropy_bound"]) == (3, 0.2)
    assert body["stream_options"]["include_drafts"] is True


def test_calls_of_tools_are_put_together() -> None:
    call = {"index": 0, "id": "1", "function": {"name": "look", "arguments": '{"at"'}}
    rest = {"index": 0, "function": {"arguments": ": 3}"}}
    chunks = [vllm({"tool_calls": [call]}), vllm({"tool_calls": [rest]}, "tool_calls")]
    found = Recorded("vllm", sse(chunks)).connect().generate(messages=SAID, tools=[TOOL])
    assert found.parsed == [{"name": "look", "arguments": {"at": 3}}]


def test_a_list_of_prompts_is_answered_by_a_list() -> None:
    server = Recorded("openai", sse([{"choices": [{"text": "b", "finish_reason": "stop"}]}]))
    found = server.connect().generate(["a", [1, 2]], seed=4)
    assert [(one.request, one.text) for one in found] == [(0, "b"), (1, "b")]
    assert sorted(str(body["prompt"]) for body in server.bodies) == ["[1, 2]", "a"]


@pytest.mark.parametrize(
    ("answer", "status", "word"),
    [
        (b'{"object": "error", "message": "too long", "code": 400}', 400, "too long"),
        (b'{"error": {"message": "busy", "code": 429}}', 429, "busy"),
        (b"<html>bad gateway", 502, "bad gateway"),
        (b"", 500, "HTTP 500"),
        (sse([{"error": {"message": "out of memory"}}]), 200, "out of memory"),
        (sse(VLLM_CHAT[:3], end=""), 200, "broke off"),
        (b"data: {nonsense\n\n", 200, "no JSON object"),
    ],
)
def test_a_servers_failure_is_told(answer: bytes, status: int, word: str) -> None:
    with pytest.raises(RemoteEngineError, match=word):
        Recorded("vllm", answer, status).connect().generate(messages=SAID)


def test_models_are_named_and_engines_are_found() -> None:
    assert Recorded("vllm").connect().engine.name.startswith("vLLM")
    assert Recorded("vllm").connect(engine="openai").engine.name.startswith("an OpenAI")
    with pytest.raises(ConfigError, match="none of the server's"):
        Recorded("vllm").connect(model="other")
    with pytest.raises(ConfigError, match="none of redraft, vllm, openai"):
        Recorded("vllm").connect(engine="sglang")
    with pytest.raises(ConfigError, match="http://"):
        redraft.connect("engine:8000")


def _refusing(_: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("refused")


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda _: httpx2.Response(401, json={"error": {"message": "no key"}}), "no key"),
        (lambda _: httpx2.Response(200, content=b"<html>"), "lists no models"),
        (lambda _: httpx2.Response(200, json={"data": [3]}), "lists no models"),
        (_refusing, "cannot be reached"),
    ],
)
def test_what_is_no_server_is_told(
    answer: Callable[[httpx2.Request], httpx2.Response], word: str
) -> None:
    with pytest.raises(RemoteEngineError, match=word):
        redraft.connect("http://engine", transport=httpx2.MockTransport(answer))
