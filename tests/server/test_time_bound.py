"""A time bound, in the words of every dialect: the best draft is the answer, and says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.server.test_openai import Served

# Steps that never end by themselves.
ENDLESS = {"confidence_threshold": 1e-9, "stability_threshold": 1000, "max_denoising_steps": 2000}
BOUND = {"model": "small-text", "timeout_ms": 60, "seed": 1} | ENDLESS
CHAT = {"messages": [{"role": "user", "content": "fill python"}]}
LONG = {"max_tokens": 400}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served(max_batch_size=4, max_waiting=8)
    yield server
    server.close()


def post(served: Served, path: str, body: dict[str, Any]) -> httpx2.Response:
    found = httpx2.post(served.url.removesuffix("/v1") + path, json=body, timeout=120)
    assert found.status_code == 200, found.text
    return found


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/v1/chat/completions", CHAT | LONG, ("choices", 0)),
        ("/v1/completions", LONG | {"prompt": "x = 1\n", "n": 2}, ("choices", 1)),
        ("/v1/completions", LONG | {"prompt": "x =", "suffix": "\ny = x\n"}, ("choices", 0)),
        ("/v1/fim/completions", LONG | {"prompt": "x =", "suffix": "\ny = x\n"}, ("choices", 0)),
        ("/v1/responses", {"input": "fill python", "max_output_tokens": 400}, ()),
        ("/v1/messages", CHAT | LONG, ()),
        ("/v1/infill", {"template": "x = <hole>\ny = x\n"}, ()),
        ("/v1/edits", {"text": "x = 1\n", "spans": [[4, 5]]}, ()),
        ("/infill", {"input_prefix": "x =", "input_suffix": "\ny\n", "n_predict": 400}, ()),
        ("/completion", {"prompt": "x = 1\n", "n_predict": 400}, ()),
        ("/api/chat", CHAT | {"options": {"num_predict": 400}, "stream": False}, ()),
        ("/api/generate", {"prompt": "x", "raw": True, "options": {"num_predict": 400}, "stream": False}, ()),
        ("/api/generate", {"prompt": "x =", "suffix": "\ny\n", "stream": False}, ()),
    ],
)  # fmt: skip
def test_the_best_draft_is_the_answer(
    served: Served, path: str, body: dict[str, Any], where: tuple[str | int, ...]
) -> None:
    answer = post(served, path, BOUND | body).json()
    for part in where:
        answer = answer[part]
    assert answer["settled"] is False
    reasons = {
        "finish_reason": "length", "stop_reason": "max_tokens", "done_reason": "length",
        "stop_type": "limit", "status": "incomplete",
    }  # fmt: skip
    told = {name: answer[name] for name in reasons if answer.get(name) is not None}
    assert told.items() <= reasons.items()


def test_an_answer_in_time_has_no_mark(served: Served) -> None:
    body = {"model": "small-text", "timeout_ms": 10**7, "max_denoising_steps": 2, "max_tokens": 8}
    (choice,) = post(served, "/v1/chat/completions", body | CHAT).json()["choices"]
    assert "settled" not in choice


def test_a_stream_ends_with_the_mark(served: Served) -> None:
    body = BOUND | CHAT | LONG | {"stream": True}
    lines = post(served, "/v1/chat/completions", body).text.splitlines()
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    last = chunks[-1]["choices"][0]
    assert (last["finish_reason"], last["settled"]) == ("length", False)


def test_a_bound_of_nothing_is_refused(served: Served) -> None:
    for value in (0, -5, "50", 1.5):
        body = BOUND | CHAT | {"timeout_ms": value}
        found = httpx2.post(f"{served.url}/chat/completions", json=body, timeout=60)
        assert found.status_code == 400
        assert "timeout_ms" in found.json()["error"]["message"]
