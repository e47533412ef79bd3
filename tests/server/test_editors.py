"""The bodies that editors send, as their sources write them (docs/how-to/editor.md names each), and
what the editors read of the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

import redraft
from redraft.server.fim_marks import marked_place
from tests.server.test_openai import QUICK, Served

STEPS: dict[str, Any] = QUICK | {"seed": 2}
BEFORE, BEHIND = "x = 1\n", "\ny = x\n"
MARKED = f"<|fim_prefix|>{BEFORE}<|fim_suffix|>{BEHIND}<|fim_middle|>"
QWEN_STOPS = ["<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served(max_batch_size=4, max_waiting=8)
    yield server
    server.close()


def post(served: Served, path: str, body: dict[str, Any]) -> httpx2.Response:
    found = httpx2.post(served.url.removesuffix("/v1") + path, json=body, timeout=120)
    assert found.status_code == 200, found.text
    return found


def events(served: Served, path: str, body: dict[str, Any]) -> list[Any]:
    lines = post(served, path, body).text.splitlines()
    assert lines[-2] == "data: [DONE]"
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def filled(served: Served, room: int, **options: Any) -> str:
    template: Any = [BEFORE, redraft.Hole(1, room), BEHIND]
    return served.model.infill(template, **(STEPS | options)).fills[0]


def test_llama_vscode_fills_and_warms_its_cache(served: Served) -> None:
    usual = {
        "top_k": 40, "top_p": 0.99, "stream": False, "samplers": ["top_k", "top_p", "infill"],
        "cache_prompt": True, "n_indent": 4, "t_max_prompt_ms": 500, "t_max_predict_ms": 600_000,
    }  # fmt: skip
    place = {"input_prefix": BEFORE, "input_suffix": BEHIND, "input_extra": [], "prompt": ""}
    answer = post(served, "/infill", place | usual | STEPS | {"n_predict": 8}).json()
    assert answer["content"] == filled(served, 8, top_k=40, top_p=0.99)
    assert {"tokens_cached", "truncated", "generation_settings"} <= set(answer)
    assert {"prompt_n", "prompt_ms", "predicted_n", "predicted_ms"} <= set(answer["timings"])
    empty = {"input_prefix": "", "input_suffix": "", "prompt": "", "n_predict": 0, "samplers": []}
    extra = {"input_extra": [{"text": "a = 1", "time": 1, "filename": "b.py"}]}
    warm = {"cache_prompt": True, "t_max_prompt_ms": 500, "t_max_predict_ms": 1}
    assert post(served, "/infill", empty | extra | warm).json()["content"] == ""


def test_continue_streams_what_belongs_between(served: Served) -> None:
    body = {
        "model": "small-text", "prompt": BEFORE, "suffix": BEHIND, "max_tokens": 8,
        "temperature": 1.0, "top_p": None, "frequency_penalty": None, "presence_penalty": None,
        "stop": ["<|endoftext|>", "/src/", "#- coding: utf-8"], "stream": True,
    }  # fmt: skip
    chunks = events(served, "/v1/fim/completions", body | STEPS)
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)
    assert text == filled(served, 8)


def test_minuet_streams_a_completion_with_a_suffix(served: Served) -> None:
    body = {"model": "small-text", "stream": True, "max_tokens": 8, "prompt": BEFORE}
    chunks = events(served, "/v1/completions", body | {"suffix": BEHIND} | STEPS)
    assert "".join(one["choices"][0]["text"] for one in chunks) == filled(served, 8)


def test_zed_marks_the_place_in_its_prompt(served: Served) -> None:
    body = {"model": "small-text", "prompt": MARKED, "max_tokens": 8, "stop": QWEN_STOPS}
    answer = post(served, "/v1/completions", body | {"environment": None} | STEPS).json()
    assert answer["choices"][0]["text"] == filled(served, 8)
    assert isinstance(answer["id"], str)


def test_zed_does_so_in_ollamas_form_too(served: Served) -> None:
    options = {"num_predict": 8, "temperature": 1.0, "stop": QWEN_STOPS} | STEPS
    body = {"model": "small-text", "prompt": MARKED, "raw": True, "stream": False}
    answer = post(served, "/api/generate", body | {"options": options}).json()
    assert answer["response"] == filled(served, 8)


@pytest.mark.parametrize(
    ("prompt", "place"),
    [
        (MARKED, (BEFORE, BEHIND)),
        (f"# b.py\n{MARKED}", (f"# b.py\n{BEFORE}", BEHIND)),
        ("<fim_prefix>a<fim_suffix><fim_middle>", ("a", "")),
        ("<|code_prefix|><|code_suffix|>b<|code_middle|>", ("", "b")),
        (f"{MARKED} more", None),
        ("<fim_prefix>a<fim_middle>", None),
        ("<fim_suffix>a<fim_prefix>b<fim_middle>", None),
        ("<fim_prefix>a<fim_suffix>b<fim_suffix>c<fim_middle>", None),
        (["<fim_prefix>a<fim_suffix>b<fim_middle>"], None),
        ("plain", None),
    ],
)
def test_a_place_is_marked_whole_or_not_at_all(prompt: object, place: object) -> None:
    assert marked_place(prompt) == place
