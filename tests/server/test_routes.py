"""Routes of redraft's own, and what goes wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from redraft.grammar.guide import CanvasConstraint
from tests.server.test_openai import MESSAGES, QUICK, Served

TEXT = "def step(shops):\n    acc = 0\n    for one in shops:\n        acc += one.age\n    return acc\n"
CHAT: dict[str, Any] = {"model": "small-text", "messages": MESSAGES, "max_tokens": 20, "seed": 1, **QUICK}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served()
    yield server
    server.close()


def post(served: Served, path: str, **body: Any) -> httpx2.Response:
    return httpx2.post(f"http://127.0.0.1:{served.port}{path}", json=body, timeout=60)


def test_holes_are_filled_and_may_be_of_a_kind(served: Served) -> None:
    template = TEXT.replace("    acc = 0", "<hole>")
    body = {"model": "small-text", "template": template, "instruction": "fill python", "seed": 1}
    told = post(served, "/v1/infill", **body).json()
    expected = served.model.infill(template, instruction="fill python", seed=1)
    assert (told["text"], told["fills"], told["score"]) == (expected.text, list(expected.fills), expected.candidates[0].score)
    formats = [{"type": "regex", "regex": "[0-9]{2}"}]
    told = post(served, "/v1/infill", model="small-text", template="x = <hole>\n", formats=formats, seed=1, **QUICK).json()
    assert re.fullmatch("x = [0-9]{2}\n", told["text"])
    wrong = post(served, "/v1/infill", model="small-text", template="no hole")
    assert (wrong.status_code, "no hole" in wrong.text) == (400, True)


def test_edits_come_with_a_diff(served: Served) -> None:
    body = {"model": "small-text", "text": TEXT, "spans": [[17, 28]], "seed": 1}
    told = post(served, "/v1/edits", instruction="start at 5", **body).json()
    assert told["text"] == TEXT.replace("acc = 0", "acc = 5")
    assert "+    acc = 5" in told["diff"]
    insert = body | {"spans": [[len(TEXT), len(TEXT)]]}
    assert post(served, "/v1/edits", kind="insert", **insert, **QUICK).json()["text"].startswith(TEXT)
    assert post(served, "/v1/edits", kind="insert", **body).status_code == 400
    assert post(served, "/v1/edits", **(body | {"spans": [[3, 1]]})).status_code == 400


def test_texts_are_tokenized_and_everything_is_counted(served: Served) -> None:
    told = post(served, "/tokenize", model="small-text", text="acc = 5").json()
    assert "".join(told["texts"]) == "acc = 5"
    assert told["tokens"] == served.model.tokenizer.encode("acc = 5", bos=False)  # type: ignore[union-attr]
    before = figures(served)
    answer = post(served, "/v1/chat/completions", **CHAT).json()
    after = figures(served)
    assert after["redraft_tokens_total"] - before["redraft_tokens_total"] == answer["usage"]["completion_tokens"]
    assert after["redraft_denoising_steps_total"] > before["redraft_denoising_steps_total"]
    assert after['redraft_responses_total{route="/v1/chat/completions",status="200"}'] >= 1
    assert after["redraft_requests"] == 0


def figures(served: Served) -> dict[str, float]:
    lines = httpx2.get(f"http://127.0.0.1:{served.port}/metrics").text.splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def test_whoever_will_not_wait_is_told_so(served: Served) -> None:
    body = CHAT | {"max_tokens": 2000, "timeout": 0.3, "eos_token_id": [], "stability_threshold": 48, "max_denoising_steps": 48}
    late = post(served, "/v1/chat/completions", **body)
    assert (late.status_code, late.json()["error"]["code"]) == (408, "deadline")
    drafts = {"stream": True, "stream_options": {"include_drafts": True}}
    streamed = post(served, "/v1/chat/completions", **body, **drafts).text.split("\n\n")
    assert json.loads(streamed[-3].removeprefix("data: "))["error"]["code"] == "deadline"
    assert streamed[-2] == "data: [DONE]"


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (b"[1]", 400), (b"\xff\xfe", 400), (b"", 400), (b"null", 400), (json.dumps({"model": 3}).encode(), 400)],
)
def test_what_is_no_request_is_refused(served: Served, content: bytes, status: int) -> None:
    headers = {"content-type": "application/json"}
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/infill", "/v1/edits", "/tokenize"):
        found = httpx2.post(f"http://127.0.0.1:{served.port}{path}", content=content, headers=headers)
        assert found.status_code == status
        assert found.json()["error"]["type"] == "invalid_request_error"


def test_a_prompt_of_two_megabytes_is_too_long_not_too_much(served: Served) -> None:
    found = post(served, "/v1/completions", model="small-text", prompt="word " * 400_000)
    assert found.status_code == 400
    assert found.json()["error"]["code"] == "context_length_exceeded"
    assert post(served, "/v1/completions", model="small-text", prompt="word " * 1_000_000).status_code == 413


def test_what_says_no_length_is_refused(served: Served) -> None:
    def chunks() -> Iterator[bytes]:
        yield json.dumps(CHAT).encode()

    found = httpx2.post(f"http://127.0.0.1:{served.port}/v1/chat/completions", content=chunks())
    assert found.status_code == 411


def test_settings_and_nulls_mean_what_they_say(served: Served) -> None:
    short = post(
        served, "/v1/chat/completions", **(CHAT | {"max_tokens": None, "max_new_tokens": 4, "n": None, "stream": None})
    )
    assert short.json()["usage"]["completion_tokens"] == 4
    for path, body in (
        ("/v1/edits", {"text": TEXT, "spans": [[0, 1]], "hole": 3}),
        ("/v1/infill", {"template": "<hole>", "method": "typewriter"}),
        ("/v1/completions", {"prompt": "a", "suffix": "b", "template": "x"}),
        ("/v1/completions", {"prompt": "a", "suffix": "b", "stop": "x"}),
        (
            "/v1/chat/completions",
            {"messages": MESSAGES, "tools": [{"function": 5}], "tool_choice": {"function": {"name": "w"}}},
        ),
        ("/v1/chat/completions", {"messages": MESSAGES, "tools": [{"name": "w"}], "tool_choice": {"function": "w"}}),
    ):
        assert post(served, path, model="small-text", **body).status_code == 400, path


def test_a_client_that_waits_for_all_and_leaves_makes_room(served: Served) -> None:
    body = CHAT | {"max_tokens": 2000, "eos_token_id": [], "stability_threshold": 48, "max_denoising_steps": 48}
    with pytest.raises(httpx2.TimeoutException):
        httpx2.post(f"http://127.0.0.1:{served.port}/v1/chat/completions", json=body, timeout=0.5)
    for _ in range(100):
        if not httpx2.get(f"http://127.0.0.1:{served.port}/ready").json()["requests"]:
            return
        time.sleep(0.05)
    raise AssertionError("the request still runs")


def test_half_open_sockets_hold_nobody_up(served: Served) -> None:
    sockets = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(20)]
    for one in sockets:
        one.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    assert post(served, "/v1/chat/completions", **CHAT).status_code == 200
    for one in sockets:
        one.close()


def test_a_request_that_breaks_a_step_fails_alone(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("/a/secret/path")

    expected = post(served, "/v1/chat/completions", **CHAT).json()["choices"]
    monkeypatch.setattr(CanvasConstraint, "pick", broken)
    failed = post(served, "/v1/chat/completions", **CHAT, response_format={"type": "choice", "choice": ["a", "b"]})
    assert failed.status_code == 500
    assert "secret" not in failed.text
    assert post(served, "/v1/chat/completions", **CHAT).json()["choices"] == expected


def test_a_stop_lets_what_runs_come_to_its_end() -> None:
    code = "from redraft.cli.app import main; main()"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "-m", "small-text", "--port", str(port)], env=os.environ | {"REDRAFT_API_KEY": "k"}
    )
    try:
        for _ in range(600):
            try:
                httpx2.get(f"http://127.0.0.1:{port}/health")
                break
            except httpx2.TransportError:
                time.sleep(0.1)
        headers = {"authorization": "Bearer k"}
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        assert httpx2.post(url, json=CHAT | {"model": "small-text"}).status_code == 401
        with httpx2.stream("POST", url, json=CHAT | {"max_tokens": 200, "stream": True}, headers=headers, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            assert [line for line in lines if line][-1] == "data: [DONE]"
        assert process.wait(30) == 0
    finally:
        process.kill()
