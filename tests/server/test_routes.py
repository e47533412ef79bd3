"""Routes of redraft's own, and what goes wrong."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import torch

from redraft.editing.candidate_row import CandidateRow
from redraft.engine import Engine, Share
from redraft.engine.scoring import TokenLikelihood
from redraft.events import Draft
from redraft.grammar.guide import CanvasConstraint
from redraft.server.openai.logprobs import text_logprobs
from redraft.server.runtime.registry import HostedModel
from tests.server.server_process import free_port, start_server
from tests.server.test_openai import MESSAGES, QUICK, Served

TEXT = (
    "def step(shops):\n    acc = 0\n    for one in shops:\n        acc += one.age\n    return acc\n"
)
CHAT: dict[str, Any] = {
    "model": "small-text",
    "messages": MESSAGES,
    "max_tokens": 20,
    "seed": 1,
    **QUICK,
}


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
    assert (told["text"], told["fills"], told["score"]) == (
        expected.text,
        list(expected.fills),
        expected.candidates[0].score,
    )
    formats = [{"type": "regex", "regex": "[0-9]{2}"}]
    told = post(
        served,
        "/v1/infill",
        model="small-text",
        template="x = <hole>\n",
        formats=formats,
        seed=1,
        **QUICK,
    ).json()
    assert re.fullmatch("x = [0-9]{2}\n", told["text"])
    wrong = post(served, "/v1/infill", model="small-text", template="no hole")
    assert (wrong.status_code, "no hole" in wrong.text) == (400, True)


def test_edits_come_with_a_diff(served: Served) -> None:
    body = {"model": "small-text", "text": TEXT, "spans": [[17, 28]], "seed": 1}
    told = post(served, "/v1/edits", instruction="start at 5", **body).json()
    assert told["text"] == TEXT.replace("acc = 0", "acc = 5")
    assert "+    acc = 5" in told["diff"]
    insert = body | {"spans": [[len(TEXT), len(TEXT)]]}
    assert (
        post(served, "/v1/edits", kind="insert", **insert, **QUICK).json()["text"].startswith(TEXT)
    )
    assert post(served, "/v1/edits", kind="insert", **body).status_code == 400
    assert post(served, "/v1/edits", **(body | {"spans": [[3, 1]]})).status_code == 400


def test_texts_are_tokenized_and_everything_is_counted(served: Served) -> None:
    told = post(served, "/tokenize", model="small-text", text="acc = 5").json()
    assert "".join(told["texts"]) == "acc = 5"
    assert told["tokens"] == served.model.tokenizer.encode("acc = 5", bos=False)  # type: ignore[union-attr]
    before = figures(served)
    answer = post(served, "/v1/chat/completions", **CHAT).json()
    after = figures(served)
    assert (
        after["redraft_tokens_total"] - before["redraft_tokens_total"]
        == answer["usage"]["completion_tokens"]
    )
    assert after["redraft_denoising_steps_total"] > before["redraft_denoising_steps_total"]
    assert after['redraft_responses_total{route="/v1/chat/completions",status="200"}'] >= 1
    assert after["redraft_requests"] == 0


def figures(served: Served) -> dict[str, float]:
    lines = httpx2.get(f"http://127.0.0.1:{served.port}/metrics").text.splitlines()
    return {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
        for line in lines
        if not line.startswith("#")
    }


def test_whoever_will_not_wait_is_told_so(served: Served) -> None:
    body = CHAT | {
        "max_tokens": 2000,
        "timeout": 0.3,
        "eos_token_id": [],
        "stability_threshold": 48,
        "max_denoising_steps": 48,
    }
    late = post(served, "/v1/chat/completions", **body)
    assert (late.status_code, late.json()["error"]["code"]) == (408, "deadline")
    drafts = {"stream": True, "stream_options": {"include_drafts": True}}
    body["timeout"] = 3  # seconds: enough for a first draft on a busy machine
    stream_response = post(served, "/v1/chat/completions", **body, **drafts).text.split("\n\n")
    assert json.loads(stream_response[-3].removeprefix("data: "))["error"]["code"] == "deadline"
    assert stream_response[-2] == "data: [DONE]"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"[1]", 400),
        (b"\xff\xfe", 400),
        (b"", 400),
        (b"null", 400),
        (json.dumps({"model": 3}).encode(), 400),
    ],
)
def test_what_is_no_request_is_refused(served: Served, content: bytes, status: int) -> None:
    headers = {"content-type": "application/json"}
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/infill", "/v1/edits", "/tokenize"):
        found = httpx2.post(
            f"http://127.0.0.1:{served.port}{path}", content=content, headers=headers
        )
        assert found.status_code == status
        assert found.json()["error"]["type"] == "invalid_request_error"


def test_a_prompt_of_two_megabytes_is_too_long_not_too_much(served: Served) -> None:
    found = post(served, "/v1/completions", model="small-text", prompt="word " * 400_000)
    assert found.status_code == 400
    assert found.json()["error"]["code"] == "context_length_exceeded"
    assert (
        post(served, "/v1/completions", model="small-text", prompt="word " * 1_000_000).status_code
        == 413
    )


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_without_its_content_type_is_told_so(served: Served, kind: str | None) -> None:
    url = f"http://127.0.0.1:{served.port}/v1/chat/completions"
    headers = {} if kind is None else {"content-type": kind}
    found = httpx2.post(url, content=json.dumps(CHAT), headers=headers)
    assert found.status_code == 400
    assert "application/json" in found.json()["error"]["message"]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH"])
def test_a_route_that_is_not_there_is_told_in_each_dialect(served: Served, method: str) -> None:
    url = f"http://127.0.0.1:{served.port}"
    answers = {
        path: httpx2.request(method, url + path)
        for path in ("/v1/nothing", "/v1/messages/batches", "/api/pull", "/slots/1/x")
    }
    assert {answer.status_code for answer in answers.values()} == {404}
    assert answers["/v1/nothing"].json()["error"]["type"] == "invalid_request_error"
    assert answers["/v1/messages/batches"].json()["error"]["type"] == "not_found_error"
    assert f"no {method} /api/pull" in answers["/api/pull"].json()["error"]


def test_settings_and_nulls_mean_what_they_say(served: Served) -> None:
    short = post(
        served,
        "/v1/chat/completions",
        **(CHAT | {"max_tokens": None, "max_new_tokens": 4, "n": None, "stream": None}),
    )
    assert short.json()["usage"]["completion_tokens"] == 4
    for path, body in (
        ("/v1/edits", {"text": TEXT, "spans": [[0, 1]], "hole": 3}),
        ("/v1/infill", {"template": "<hole>", "method": "typewriter"}),
        ("/v1/completions", {"prompt": "a", "suffix": "b", "template": "x"}),
        ("/v1/completions", {"prompt": "a", "suffix": "b", "echo": True}),
        (
            "/v1/chat/completions",
            {
                "messages": MESSAGES,
                "tools": [{"function": 5}],
                "tool_choice": {"function": {"name": "w"}},
            },
        ),
        (
            "/v1/chat/completions",
            {"messages": MESSAGES, "tools": [{"name": "w"}], "tool_choice": {"function": "w"}},
        ),
    ):
        assert post(served, path, model="small-text", **body).status_code == 400, path


def test_a_client_that_waits_for_all_and_leaves_makes_room(served: Served) -> None:
    body = CHAT | {
        "max_tokens": 2000,
        "eos_token_id": [],
        "stability_threshold": 48,
        "max_denoising_steps": 48,
    }
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
        one.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
        )
    assert post(served, "/v1/chat/completions", **CHAT).status_code == 200
    for one in sockets:
        one.close()


def test_a_request_that_breaks_a_step_fails_alone(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("/a/secret/path")

    expected = post(served, "/v1/chat/completions", **CHAT).json()["choices"]
    monkeypatch.setattr(CanvasConstraint, "pick", broken)
    failed = post(
        served,
        "/v1/chat/completions",
        **CHAT,
        response_format={"type": "choice", "choice": ["a", "b"]},
    )
    assert failed.status_code == 500
    assert "secret" not in failed.text
    assert post(served, "/v1/chat/completions", **CHAT).json()["choices"] == expected


def test_a_stop_lets_what_runs_come_to_its_end() -> None:
    port = free_port()
    process = start_server(port, REDRAFT_API_KEY="k")
    try:
        headers = {"authorization": "Bearer k"}
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        assert httpx2.post(url, json=CHAT | {"model": "small-text"}).status_code == 401
        with httpx2.stream(
            "POST",
            url,
            json=CHAT | {"max_tokens": 200, "stream": True},
            headers=headers,
            timeout=60,
        ) as answer:
            lines = answer.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            assert [line for line in lines if line][-1] == "data: [DONE]"
        assert process.wait(30) == 0
    finally:
        process.kill()


def test_log_probabilities_are_what_the_model_reads_from_left_to_right(served: Served) -> None:
    model = served.model
    assert model.tokenizer is not None
    body = CHAT | {"logprobs": True, "top_logprobs": 3}
    (choice,) = post(served, "/v1/chat/completions", **body).json()["choices"]
    prompt = model.chat_prompt(MESSAGES)
    tokens = list(model.generate(messages=MESSAGES, max_new_tokens=20, seed=1, **QUICK).tokens)
    told = choice["logprobs"]["content"]
    with torch.inference_mode():
        states = model.network.encode(
            [torch.tensor(prompt + tokens)], [model.network.new_cache(200)]
        )[0]
        expected = model.network.logits(states[len(prompt) - 1 : -1]).log_softmax(-1)
    special = model.tokenizer.special_tokens()
    kept = [at for at, token in enumerate(tokens) if token not in special]
    assert [one["token"] for one in told] == [
        model.tokenizer.decode([tokens[at]], special=True) for at in kept
    ]
    assert [one["logprob"] for one in told] == pytest.approx(
        [float(expected[at, tokens[at]]) for at in kept], abs=1e-4
    )
    best = [float(expected[at].max()) for at in kept]
    assert [one["top_logprobs"][0]["logprob"] for one in told] == pytest.approx(best, abs=1e-4)
    assert {len(one["top_logprobs"]) for one in told} == {3}
    # In a stream they come with the end of their choice; a completion has a form of its own.
    lines = post(served, "/v1/chat/completions", **body, stream=True).text.split("\n\n")
    chunks = [
        json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")
    ]
    assert [one["logprobs"] for chunk in chunks for one in chunk["choices"] if one["logprobs"]] == [
        choice["logprobs"]
    ]
    plain = {
        "model": "small-text",
        "prompt": "x = 1\n",
        "max_tokens": 12,
        "seed": 1,
        "logprobs": 2,
        **QUICK,
    }
    (choice,) = post(served, "/v1/completions", **plain).json()["choices"]
    found = choice["logprobs"]
    assert "".join(found["tokens"]) == choice["text"]
    assert [
        choice["text"][at:].startswith(token)
        for at, token in zip(found["text_offset"], found["tokens"], strict=True)
    ]
    assert max(map(len, found["top_logprobs"])) == 2
    assert all(logprob <= 0 for logprob in found["token_logprobs"])


def test_there_is_room_for_log_probabilities_once_a_request_is_let_in(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, left = HostedModel.score, list[float]()

    async def crowded(model: HostedModel, *given: Any, **more: Any) -> Any:
        monkeypatch.setattr(model.worker, "_capacity", 0)  # others came in meanwhile
        left.append(given[-1])
        try:
            return await score(model, *given, **more)
        finally:
            monkeypatch.setattr(model.worker, "_capacity", 8)

    monkeypatch.setattr(HostedModel, "score", crowded)
    answer = post(served, "/v1/chat/completions", **CHAT, logprobs=True, timeout=30)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["logprobs"]["content"]
    assert 0 < left[0] < 30


def test_log_probabilities_that_would_not_fit_are_refused_before_anything_is_written(
    served: Served,
) -> None:
    length, tokens = (
        len(served.model.chat_prompt(MESSAGES)),
        96,
    )  # of one canvas, which is never encoded
    engine = Engine(served.model.network)
    enough, few = (
        engine.memory.needed([Share(1, 1, length + more)]) for more in (tokens, tokens - 1)
    )
    assert few < enough
    small = Served(memory=few)
    try:
        assert (
            post(small, "/v1/chat/completions", **CHAT | {"max_tokens": tokens}).status_code == 200
        )
        for stream in (False, True):
            refused = post(
                small,
                "/v1/chat/completions",
                **CHAT | {"max_tokens": tokens},
                logprobs=True,
                stream=stream,
            )
            assert (refused.status_code, refused.json()["error"]["code"]) == (
                400,
                "memory_exceeded",
            )
        assert (
            post(
                small, "/v1/chat/completions", **CHAT | {"max_tokens": tokens - 1}, logprobs=True
            ).status_code
            == 200
        )
    finally:
        small.close()


class Spelled:
    """A tokenizer whose every token is three letters."""

    def special_tokens(self) -> frozenset[int]:
        return frozenset()

    def decode(self, tokens: list[int], *, special: bool = False) -> str:
        return "abc"


def test_offsets_of_a_long_text_are_told_at_once() -> None:
    tokens: Any = Spelled()
    started = time.perf_counter()
    told = text_logprobs([TokenLikelihood(1, -1.0, ())] * 20_000, tokens)
    assert told["text_offset"] == list(range(0, 60_000, 3))
    assert time.perf_counter() - started < 1
    assert text_logprobs([], tokens)["text_offset"] == []


def test_the_models_that_ship_are_told_apart_and_what_means_nothing_is_ignored(
    served: Served,
) -> None:
    (listed,) = httpx2.get(f"http://127.0.0.1:{served.port}/v1/models").json()["data"]
    assert listed["redraft"]["shipped"] is True
    options = {"include_usage": True, "include_obfuscation": False}
    assert (
        post(
            served, "/v1/chat/completions", **CHAT, stream=True, stream_options=options
        ).status_code
        == 200
    )


def test_a_fill_tells_of_every_position_as_a_chat_does(served: Served) -> None:
    template = TEXT.replace("    acc = 0", "<hole>")
    body = {
        "model": "small-text",
        "template": template,
        "seed": 1,
        "max_candidates": 3,
        "stream": True,
        **QUICK,
    }
    lines = post(served, "/v1/infill", **body).text.split("\n\n")
    *drafts, whole = [
        json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")
    ]
    length = served.model.config.canvas_length
    expected = [
        event
        for event in served.model.stream_infill(template, seed=1, max_candidates=3, **QUICK)
        if isinstance(event, Draft)
    ]
    assert len(drafts) == len(expected)
    cells: dict[tuple[int, int], dict[int, str]] = {}
    for draft, event in zip(drafts, expected, strict=True):
        drawn = cells.setdefault((draft["candidate"], draft["canvas"]), {})
        changed = dict(draft["changed"])
        assert all(drawn.get(at) != text for at, text in changed.items())
        drawn |= changed
        spell = served.model.tokenizer.decode  # type: ignore[union-attr]
        assert [drawn[at] for at in range(length)] == [
            spell([token], special=True) for token in event.tokens
        ]
        assert draft["accepted"] == [at for at, yes in enumerate(event.accepted) if yes]
        assert draft["revised"] == [at for at, yes in enumerate(event.revised) if yes]
        assert draft["confidence"] == [round(100 * sure) for sure in event.confidence]
        assert draft["entropy"] == pytest.approx(sum(event.entropy) / length, abs=1e-3)
        assert (draft["candidate"], draft["step"], draft["text"]) == (
            event.candidate,
            event.step,
            event.text,
        )
    assert {candidate for candidate, _ in cells} == set(range(len(whole["candidates"])))


def test_a_fill_comes_in_drafts_and_ends_as_it_does_without(served: Served) -> None:
    body = {
        "model": "small-text",
        "template": TEXT.replace("    acc = 0", "<hole>"),
        "instruction": "fill python",
        "seed": 1,
    }
    whole = post(served, "/v1/infill", **body).json()
    lines = post(served, "/v1/infill", **body, stream=True).text.split("\n\n")
    chunks = [
        json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")
    ]
    assert chunks[-1] == whole
    drafts = chunks[:-1]
    assert {draft["object"] for draft in drafts} == {"infill.draft"}
    assert sum(map(sum, whole["usage"]["steps"])) == len(drafts)
    assert whole["text"] in {draft["text"] for draft in drafts}
    between = {
        "model": "small-text",
        "prompt": "x = 1\n",
        "suffix": "\ny = x\n",
        "max_tokens": 8,
        "seed": 2,
        **QUICK,
    }
    (choice,) = post(served, "/v1/completions", **between).json()["choices"]
    lines = post(served, "/v1/completions", **between, stream=True).text.split("\n\n")
    assert json.loads(lines[0].removeprefix("data: "))["choices"] == [choice]


def test_the_typewriter_writes_with_the_same_weights(served: Served) -> None:
    expected = served.model.generate(
        messages=MESSAGES, max_new_tokens=20, seed=1, method="typewriter"
    )
    body = {
        "model": "small-text",
        "messages": MESSAGES,
        "max_tokens": 20,
        "seed": 1,
        "method": "typewriter",
    }
    assert (
        post(served, "/v1/chat/completions", **body).json()["choices"][0]["message"]["content"]
        == expected.text
    )
    lines = post(served, "/v1/chat/completions", **body, stream=True).text.split("\n\n")
    deltas = [line for line in lines if '"content"' in line]
    assert len(deltas) > 5


def test_a_prompt_that_is_known_is_told_and_counted(served: Served) -> None:
    before = figures(served)
    body = {"model": "small-text", "prompt": [5] * 600, "max_tokens": 4, "seed": 1, **QUICK}
    first, second = (post(served, "/v1/completions", **body).json() for _ in range(2))
    assert [one["usage"]["prompt_tokens_details"]["cached_tokens"] for one in (first, second)] == [
        0,
        512,
    ]
    assert first["choices"] == second["choices"]
    after = figures(served)
    assert after["redraft_cached_tokens_total"] - before["redraft_cached_tokens_total"] == 512
    assert after["redraft_prefix_cache_bytes"] > 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://elsewhere.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"host": "elsewhere.example"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({}, 200),
    ],
)
def test_pages_of_other_sites_are_kept_out(
    headers: dict[str, str], status: int, guarded: Served
) -> None:
    url = f"http://127.0.0.1:{guarded.port}/tokenize"
    found = httpx2.post(url, json={"model": "small-text", "text": "a"}, headers=headers)
    assert found.status_code == status
    own = {"origin": f"http://127.0.0.1:{guarded.port}"}
    assert (
        httpx2.post(url, json={"model": "small-text", "text": "a"}, headers=own).status_code == 200
    )


@pytest.fixture(scope="module")
def guarded() -> Iterator[Served]:
    server = Served(send_buffer=4096, hosts=("127.0.0.1",), stall_timeout=1.0)
    yield server
    server.close()


def test_a_client_that_never_reads_is_dropped_and_holds_nobody_up(guarded: Served) -> None:
    body = CHAT | {"max_tokens": 3000, "stream": True, "stream_options": {"include_drafts": True}}
    body |= {"eos_token_id": [], "stability_threshold": 48, "max_denoising_steps": 48}
    content = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(content)}\r\n"
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    deaf.connect(("127.0.0.1", guarded.port))
    deaf.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + content)
    for _ in range(300):
        if not httpx2.get(f"http://127.0.0.1:{guarded.port}/ready").json()["requests"]:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the request of a client that never reads still runs")
    assert post(guarded, "/v1/chat/completions", **CHAT).status_code == 200
    deaf.close()


@pytest.fixture(scope="module")
def narrow() -> Iterator[Served]:
    server = Served(max_batch_size=1, max_waiting=1)
    yield server
    server.close()


def test_where_all_places_are_taken_a_client_is_told_when_to_come_back(narrow: Served) -> None:
    slow = CHAT | {
        "max_tokens": 3000,
        "eos_token_id": [],
        "stability_threshold": 48,
        "max_denoising_steps": 48,
        "stream": True,
    }
    url = f"http://127.0.0.1:{narrow.port}/v1/chat/completions"
    drafts = slow | {"stream_options": {"include_drafts": True}}
    with httpx2.stream("POST", url, json=drafts, timeout=60) as first:
        lines = first.iter_lines()
        next(lines)
        waits = threading.Thread(target=lambda: httpx2.post(url, json=CHAT, timeout=60))
        waits.start()
        while httpx2.get(f"http://127.0.0.1:{narrow.port}/ready").json()["requests"] < 2:
            time.sleep(0.01)
        for path, body in (
            ("/v1/chat/completions", CHAT),
            ("/v1/infill", {"model": "small-text", "template": "x<hole>y"}),
        ):
            full = post(narrow, path, **body)
            assert (
                full.status_code,
                full.headers["retry-after"],
                full.json()["error"]["code"],
            ) == (429, "1", "server_busy")
    waits.join(60)
    assert not waits.is_alive()


def test_a_fill_has_a_deadline_and_a_fault_of_its_own(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {
        "model": "small-text",
        "template": TEXT.replace("acc = 0", "<hole>"),
        "seed": 1,
        "max_tokens": 300,
    }
    late = post(served, "/v1/infill", **body, timeout=0.05, max_candidates=32)
    assert (late.status_code, late.json()["error"]["code"]) == (408, "deadline")
    expected = post(served, "/v1/infill", **body | {"max_tokens": 8}).json()

    def broken(*_: Any) -> Any:
        raise KeyError("/a/secret/path")

    with monkeypatch.context() as patch:
        patch.setattr(CandidateRow, "absorb", broken)
        failed = post(served, "/v1/infill", **body)
        assert (failed.status_code, "secret" in failed.text) == (500, False)
        assert post(served, "/v1/chat/completions", **CHAT).status_code == 200
    assert post(served, "/v1/infill", **body | {"max_tokens": 8}).json() == expected
    assert httpx2.get(f"http://127.0.0.1:{served.port}/ready").json()["requests"] == 0


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"max_denoising_steps": 1_000_000_000}, "more than this server takes"),
        ({"stop": ["a", "b"] * 40}, "64 strings"),
        ({"stop": "x" * 5000}, "1000 characters"),
    ],
)
def test_what_costs_too_much_at_every_step_is_refused(
    served: Served, field: dict[str, Any], words: str
) -> None:
    refused = post(served, "/v1/chat/completions", **(CHAT | field))
    assert (refused.status_code, words in refused.text) == (400, True)
