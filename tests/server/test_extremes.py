"""Values at the ends of what JSON can say: refused with 400, or answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.server.test_openai import Served

DEEP: Any = "x"
for _ in range(150):
    DEEP = {"\ud800": DEEP}
BASE: dict[str, Any] = {
    "model": "small-text",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 4,
    "seed": 1,
    "max_denoising_steps": 2,
}
REFUSED: list[dict[str, Any]] = [
    {"response_format": {"type": "grammar", "grammar": "\ud800"}},
    {"tools": [{"type": "function", "function": {"name": "\ud800", "parameters": [1]}}]},
    {"chat_template_kwargs": {"x": DEEP}},
    {"repetition_penalty": 2**64},
    {"repetition_penalty": 1e39},
    {"t_max": 1e300, "t_min": 1e300},
    {"t_max": 1e308, "temperature": 10},
    {"temperature": 1e300},
    {"entropy_bound": 10**300},
    {"confidence_threshold": 2**70},
    {"top_k": -(2**70)},
    {"stop": ["\ud800"] * 65},
    {"\ud800": 1},
]
ANSWERED: list[dict[str, Any]] = [
    {"top_p": 1e-46},
    {"top_p": 5e-324},
    {"top_p": 1e-46, "method": "autoregressive"},
    {"min_p": 5e-324},
    {"min_p": 1},
    {"top_k": 2**70},
    {"seed": 2**200},
    {"seed": -(2**200)},
    {"temperature": 10},
    {"temperature": 1e-3},
    {"repetition_penalty": 1e6},
    {"logit_bias": {"5": 1e9}, "top_p": 1e-300},
]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served()
    yield server
    server.close()


def post(served: Served, options: dict[str, Any]) -> httpx2.Response:
    # json= would refuse halves of surrogate pairs; other clients escape them.
    body = json.dumps(BASE | options)
    return httpx2.post(
        f"http://127.0.0.1:{served.port}/v1/chat/completions",
        content=body,
        headers={"content-type": "application/json"},
        timeout=60,
    )


@pytest.mark.parametrize("options", REFUSED, ids=lambda one: ascii(one)[:40])
def test_what_has_no_meaning_is_refused(served: Served, options: dict[str, Any]) -> None:
    answer = post(served, options)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("options", ANSWERED, ids=lambda one: ascii(one)[:40])
def test_what_has_a_meaning_is_answered(served: Served, options: dict[str, Any]) -> None:
    answer = post(served, options)
    assert answer.status_code == 200, answer.text


HALVES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/responses", {"input": "a", "max_output_tokens": 2, "metadata": {"\ud800": "\ud800"}}),
    (
        "/v1/responses",
        {"input": "a", "max_output_tokens": 2, "tools": [{"type": "function", "name": "\ud800"}]},
    ),
    ("/completion", {"prompt": "a", "n_predict": 2, "lora": {"\ud800": "\ud800"}}),
    ("/infill", {"input_prefix": "\ud800", "n_predict": 0}),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "body"), HALVES)
def test_halves_of_surrogate_pairs_are_answered_as_they_came(
    served: Served, path: str, body: dict[str, Any], *, stream: bool
) -> None:
    def told(answer: httpx2.Response) -> str:
        assert answer.status_code == 200, answer.text
        text = answer.content.decode()  # UTF-8
        assert '"error": {' not in text
        assert "\\ud800" in text
        return text

    root = f"http://127.0.0.1:{served.port}"
    given = {"model": "small-text", "max_denoising_steps": 2, "stream": stream} | body
    header = {"content-type": "application/json"}
    text = told(httpx2.post(root + path, content=json.dumps(given), headers=header, timeout=60))
    if path == "/v1/responses" and not stream:
        told(httpx2.get(f"{root}{path}/{json.loads(text)['id']}", timeout=60))
