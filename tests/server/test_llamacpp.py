"""llama.cpp's routes, in the shapes that its editors and Continue send."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

import redraft
from redraft.server import Settings, create_app
from redraft.server.dialects import LLAMA_PATHS
from tests.server.test_openai import QUICK, Served

STEPS = QUICK | {"seed": 2}
BEFORE, BEHIND = "x = 1\n", "\ny = x\n"
SAMPLERS = {
    "n_indent": 0, "top_k": 40, "top_p": 0.90, "samplers": ["top_k", "top_p", "infill"], "stream": False,
    "cache_prompt": True, "t_max_prompt_ms": 500, "id_slot": 0, "stop": [],
}  # fmt: skip
# What llama.vim sends at every key, and reads of the answer.
VIM = SAMPLERS | {
    "input_prefix": BEFORE, "input_suffix": BEHIND, "prompt": "",
    "input_extra": [{"text": "def f():\n    return 1\n", "time": 12.5, "filename": "a.py"}], "n_predict": 8,
    "response_fields": ["content", "timings/prompt_n", "timings/predicted_n", "timings/predicted_ms", "truncated", "tokens_cached"],
}  # fmt: skip
# Steps that never end by themselves.
ENDLESS = {"confidence_threshold": 1e-9, "stability_threshold": 1000, "max_denoising_steps": 2000}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served(max_batch_size=4, max_waiting=8)
    yield server
    server.close()


def post(served: Served, path: str, status: int = 200, **body: Any) -> Any:
    # As curl sends it to llama.cpp, without a content type of JSON.
    kind = "text/plain" if path in LLAMA_PATHS else "application/json"
    url = served.url.removesuffix("/v1") + path
    found = httpx2.post(url, content=json.dumps(body), headers={"content-type": kind}, timeout=60)
    assert found.status_code == status, found.text
    return found.json()


def events(served: Served, path: str, **body: Any) -> list[Any]:
    url = served.url.removesuffix("/v1") + path
    found = httpx2.post(url, json=body | {"stream": True}, timeout=60)
    assert found.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in found.text.splitlines() if line]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def filled(served: Served, prefix: str, room: int, **options: Any) -> str:
    template: Any = [prefix, redraft.Hole(1, room), BEHIND]
    return served.model.infill(template, **(STEPS | options)).fills[0]


def test_a_place_without_a_model_is_filled_by_one_that_has_learnt_to(served: Served) -> None:
    # As redraft serve has them: the first knows sums alone, and editors name no model.
    both = {"small": redraft.load("small", dtype="float32"), "small-text": served.model}
    place = {"prompt": BEFORE, "suffix": BEHIND, "max_tokens": 8} | STEPS
    with TestClient(create_app(both, Settings()), base_url="http://127.0.0.1") as client:
        assert client.post("/v1/completions", json=place).json()["model"] == "small-text"
        body = VIM | STEPS | {"response_fields": ["model"]}
        assert client.post("/infill", json=body).json()["model"] == "small-text"
        named = client.post("/infill", json=body | {"model": "small"})
        assert named.json()["model"] == "small"


def test_llama_vim_gets_what_belongs_between(served: Served) -> None:
    answer = post(served, "/infill", **VIM, **STEPS)
    prefix = "# a.py\ndef f():\n    return 1\n\n" + BEFORE
    assert answer["content"] == filled(served, prefix, 8, top_k=40, top_p=0.9)
    assert set(answer) == set(VIM["response_fields"])  # type: ignore[call-overload]
    assert answer["truncated"] is False
    assert answer["timings/predicted_n"] <= 8


def test_the_line_before_the_place_belongs_to_the_prefix(served: Served) -> None:
    answer = post(
        served,
        "/infill",
        input_prefix=BEFORE,
        prompt="z =",
        input_suffix=BEHIND,
        n_predict=6,
        **STEPS,
    )
    assert answer["content"] == filled(served, f"{BEFORE}z =", 6)
    assert answer["stop"] is True
    assert answer["stop_type"] == "eos"
    assert answer["settled"] is True
    *chunks, last = events(
        served,
        "/infill",
        input_prefix=BEFORE,
        prompt="z =",
        input_suffix=BEHIND,
        n_predict=6,
        **STEPS,
    )
    assert "".join(one["content"] for one in chunks) == answer["content"]
    assert last["stop"] is True


def test_a_prefix_that_is_too_long_loses_its_begin(served: Served) -> None:
    long = "a = 1\n" * 4000
    answer = post(
        served,
        "/infill",
        input_prefix=long + BEFORE,
        input_suffix=BEHIND * 900,
        n_predict=4,
        max_denoising_steps=2,
    )
    assert answer["truncated"] is True
    assert answer["tokens_evaluated"] > 3000


def test_nothing_is_written_where_nothing_is_asked_for(served: Served) -> None:
    assert (
        post(served, "/infill", **(VIM | {"n_predict": 0, "response_fields": []}))["content"] == ""
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/infill", {"input_prefix": BEFORE, "input_suffix": BEHIND, "n_predict": 40}),
        ("/completion", {"prompt": "x = 1\n", "n_predict": 400}),
        ("/completion", {"prompt": ["x = 1\n", "y"], "n_predict": 400}),
        (
            "/v1/fim/completions",
            {"model": "small-text", "prompt": BEFORE, "suffix": BEHIND, "max_tokens": 40},
        ),
    ],
)
def test_when_the_time_is_over_the_best_draft_is_taken(
    served: Served, path: str, body: dict[str, Any]
) -> None:
    began = time.monotonic()
    answer = post(served, path, **body, **ENDLESS, t_max_predict_ms=200)
    assert time.monotonic() - began < 20
    for one in answer if isinstance(answer, list) else [answer]:
        if "choices" in one:
            assert one["choices"][0]["finish_reason"] == "length"
            assert isinstance(one["choices"][0]["message"]["content"], str)
        else:
            assert (one["settled"], one["stop_type"]) == (False, "limit")
            # A first draft may be empty.
            assert isinstance(one["content"], str)
            assert one["steps"] > 0
    for _ in range(100):
        if not httpx2.get(f"http://127.0.0.1:{served.port}/ready").json()["requests"]:
            return
        time.sleep(0.05)
    raise AssertionError("the request still runs")


def test_a_completion_is_what_the_model_writes(served: Served) -> None:
    expected = served.model.generate("def f():\n", max_new_tokens=200, **STEPS)
    given = {
        "prompt": "def f():\n",
        "n_predict": 200,
        "temperature": 1.0,
        "repeat_penalty": 1.0,
    } | STEPS
    answer = post(served, "/completion", **given)
    assert answer["content"] == expected.text
    assert answer["tokens_predicted"] == len(expected.tokens)
    assert answer["stop_type"] == ("limit" if expected.reason == "length" else "eos")
    *chunks, last = events(served, "/completions", **given)
    assert "".join(one["content"] for one in chunks) == expected.text
    assert not any(one["stop"] for one in chunks)
    assert (last["stop"], last["tokens_predicted"]) == (True, len(expected.tokens))


def test_prompts_may_be_ids_mixed_or_several(served: Served) -> None:
    tokenizer = served.model.tokenizer
    assert tokenizer is not None
    bos = tokenizer.bos_token_id
    plain = post(served, "/completion", prompt="x = 1\n", n_predict=8, **STEPS)["content"]
    ids = tokenizer.encode("x = 1\n", bos=True)
    assert post(served, "/completion", prompt=ids, n_predict=8, **STEPS)["content"] == plain
    assert (
        post(served, "/completion", prompt=[bos, "x = 1\n"], n_predict=8, **STEPS)["content"]
        == plain
    )
    several = post(served, "/completion", prompt=["x = 1\n", ids], n_predict=8, **STEPS)
    assert [(one["index"], one["content"]) for one in several] == [(0, plain), (1, plain)]


def test_a_word_ends_a_text_and_a_schema_binds_it(served: Served) -> None:
    text = post(served, "/completion", prompt="x = 1\n", n_predict=20, **STEPS)["content"]
    assert len(text) > 2
    answer = post(served, "/completion", prompt="x = 1\n", n_predict=20, stop=[text[1:3]], **STEPS)
    assert (answer["content"], answer["stop_type"], answer["stopping_word"]) == (
        text[: text.find(text[1:3])],
        "word",
        text[1:3],
    )
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    for path, given in (
        ("/completion", {"prompt": "x"}),
        ("/infill", {"input_prefix": "x = ", "input_suffix": "\n"}),
    ):
        answer = post(served, path, n_predict=40, json_schema=schema, **given, **STEPS)
        assert isinstance(json.loads(answer["content"])["a"], int)


def test_probabilities_are_told(served: Served) -> None:
    answer = post(served, "/completion", prompt="x = 1\n", n_predict=4, n_probs=2, **STEPS)
    found = answer["completion_probabilities"]
    assert len(found) == answer["tokens_predicted"]
    assert {"id", "token", "logprob", "top_logprobs"} <= set(found[0])


def test_mistrals_form_is_a_message(served: Served) -> None:
    body = {
        "model": "small-text",
        "prompt": BEFORE,
        "suffix": BEHIND,
        "max_tokens": 8,
        "random_seed": 2,
        "min_tokens": 1,
    } | QUICK
    answer = post(served, "/v1/fim/completions", **body)
    expected = filled(served, BEFORE, 8)
    assert answer["choices"][0]["message"]["content"] == expected
    (chunk,) = events(served, "/v1/fim/completions", **body)
    assert chunk["choices"][0]["delta"]["content"] == expected


def test_the_server_tells_of_itself(served: Served) -> None:
    url = f"http://127.0.0.1:{served.port}"
    props = httpx2.get(f"{url}/props").json()
    assert props["default_generation_settings"]["n_ctx"] == 4096
    assert props["total_slots"] == 4
    assert [one["id"] for one in httpx2.get(f"{url}/slots").json()] == [0, 1, 2, 3]
    tokens = post(served, "/tokenize", content="x = 1\n")["tokens"]
    assert post(served, "/detokenize", tokens=tokens)["content"] == "x = 1\n"


WRONG: list[tuple[str, dict[str, Any], int, str]] = [
    ("/infill", {"model": "other"}, 404, "not hosted"),
    ("/infill", {"n_predict": True}, 400, "n_predict"),
    ("/infill", {"n_predic": 5}, 400, "n_predict"),
    ("/infill", {"input_extra": [{"text": 5}]}, 400, "input_extra"),
    ("/infill", {"grammar": "root ::= x"}, 400, "json_schema"),
    ("/infill", {"logit_bias": [["word", 1]]}, 400, "logit_bias"),
    ("/infill", {"stop": ["x"] * 100}, 400, "stop"),
    ("/infill", {"presence_penalty": 100}, 400, "presence_penalty"),
    ("/infill", {"max_denoising_steps": 10**6}, 400, "max_denoising_steps"),
    ("/infill", {"input_prefix": "<hole>" * 3, "n_predict": -5}, 400, "n_predict"),
    ("/completion", {}, 400, "prompt"),
    ("/completion", {"prompt": []}, 400, "empty"),
    ("/completion", {"prompt": [5000]}, 400, "vocabulary"),
    ("/completion", {"prompt": "x", "json_schema": {"type": "strange"}}, 400, "strange"),
    ("/detokenize", {"tokens": [10**9]}, 400, "vocabulary"),
]


@pytest.mark.parametrize(("path", "body", "status", "words"), WRONG, ids=lambda one: str(one)[:40])
def test_what_is_wrong_is_told(
    served: Served, path: str, body: dict[str, Any], status: int, words: str
) -> None:
    found = post(served, path, status, **body)["error"]
    assert found["code"] == status
    assert words in found["message"]


def test_a_mark_of_a_hole_is_text_in_a_prefix(served: Served) -> None:
    answer = post(
        served, "/infill", input_prefix="a <hole> b ", input_suffix=" c", n_predict=3, **STEPS
    )
    assert isinstance(answer["content"], str)
