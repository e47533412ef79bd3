"""What a body may hold, what all requests have together, and how long each may take."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

import redraft
from redraft.errors import ChatTemplateError, RequestError
from redraft.server import Settings, create_app
from redraft.server.json_body import json_router, parsed
from redraft.server.llamacpp.schemas import LlamaCompletionRequest
from redraft.server.middleware import AccessMiddleware
from redraft.server.ollama.schemas import OllamaOptions
from redraft.server.runtime import body_budget, kept_responses, time_limit
from redraft.server.runtime.database import Database
from redraft.server.runtime.event_queue import DeadlineError
from redraft.server.runtime.kept_responses import Responses
from redraft.server.runtime.metrics import Metrics
from redraft.server.runtime.preparing import Preparing
from redraft.server.runtime.time_limit import (
    TimeLimit,
    current_limit,
    earliest_deadline,
    seconds_left,
)
from redraft.text import json_counts
from redraft.text.json_counts import counted
from redraft.text.messages import plain_messages


def counts_of(body: bytes) -> tuple[int, int, int]:
    """Count a body's values byte by byte."""
    values = parts = written = 0
    quoted = escaped = False
    for byte in body:
        written += 4 * (byte == ord("\\")) + (byte >= 128)
        if quoted and (escaped or byte == ord("\\")):
            escaped = not escaped
        elif byte == ord('"'):
            quoted = not quoted
        elif not quoted:
            values += byte in b",[{"
            parts += byte in b":[{"
    return values, parts, written


def drawn(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.random() + depth / 4
    if kind < 0.4:
        return [drawn(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind < 0.7:
        return {str(drawn(rng, 5)): drawn(rng, depth + 1) for _ in range(rng.randrange(4))}
    if kind < 1.0:
        return rng.choice((1, 1.5, None, True))
    return "".join(rng.choices('\\"a,:[]{}é\n', k=rng.randrange(9)))


def test_a_body_is_counted_as_byte_by_byte_and_parsed_as_by_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = random.Random(1)
    for _ in range(150):
        monkeypatch.setattr(json_counts, "SLICE", rng.choice((1, 2, 3, 7, 64)))
        value = drawn(rng)
        body = json.dumps(value, ensure_ascii=rng.random() < 0.5).encode()
        found = counted(body)
        assert (found.values, found.parts, found.written) == counts_of(body), body
        assert parsed(body) == value
        if (wrong := body[:-1] + rng.choice((b"", b"]", b"\\"))) == body:
            continue
        try:
            expected = json.loads(wrong)
        except ValueError as error:
            with pytest.raises(type(error)):
                parsed(wrong)
        else:
            assert parsed(wrong) == expected


@pytest.mark.parametrize(
    "number",
    [
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e999",
        b"-1E+0400",
        b"9" * 300 + b"e99",
        b"9" * 400 + b".5",
    ],
)
def test_a_number_that_no_float_holds_is_refused(number: bytes) -> None:
    for body in (number, b"[%s]" % number, b'{"a": [{"b": %s}]}' % number):
        with pytest.raises(json.JSONDecodeError):
            parsed(body)
    text = number.decode()
    assert parsed(json.dumps([text, {"data:image/png;base64,9e999": text}]).encode())[0] == text


def test_great_numbers_that_are_finite_are_read() -> None:
    for text in ("1e308", "-1.7e+0308", "1e-999", "9" * 400, "0." + "1" * 400):
        assert parsed(f"[{text}]".encode()) == [json.loads(text)]


@pytest.mark.parametrize("item", [b"1", b"[]", b'{"a":1}', b'"\\u00e9\\u00e9\\u00e9\\u00e9"'])
def test_a_body_of_too_many_values_is_refused_before_it_is_parsed(item: bytes) -> None:
    app = FastAPI()
    router = json_router()

    @router.post("/echo")
    async def echo(body: dict[str, Any]) -> int:
        return len(body["a"])

    app.include_router(router)
    client = TestClient(app)
    headers = {"content-type": "application/json"}
    body = b'{"a": [%s]}' % b",".join([item] * 20_000)
    assert client.post("/echo", content=body, headers=headers).json() == 20_000
    body = b'{"a": [%s]}' % b",".join([item] * 600_000)
    found = client.post("/echo", content=body, headers=headers)
    assert found.status_code == 413
    assert "values" in found.text


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": [%s]}' % b",".join([b'""'] * 140_000),
        b"{%s}" % b",".join(b'"%d":1' % at for at in range(600)),
    ],
    ids=["texts", "fields"],
)
def test_texts_and_fields_of_a_body_are_counted_before_they_are_checked(body: bytes) -> None:
    with pytest.raises(HTTPException) as error:
        parsed(body)
    assert error.value.status_code == 413


def test_what_a_request_may_well_have_is_read() -> None:
    texts = b'{"a": [%s]}' % b",".join([b'"word"'] * 100_000)
    assert len(parsed(texts)["a"]) == 100_000
    assert len(parsed(b"{%s}" % b",".join(b'"%d":1' % at for at in range(512)))) == 512


def test_fields_of_a_part_of_a_request_are_counted() -> None:
    with pytest.raises(ValidationError, match="600 fields"):
        OllamaOptions.model_validate({f"o{at}": 1 for at in range(600)})


def test_arguments_of_all_calls_are_counted_together() -> None:
    arguments = '{"a": [%s1]}' % ("[]," * 5000)
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}}

    def messages(count: int) -> list[dict[str, Any]]:
        return [{"role": "assistant", "content": None, "tool_calls": [call] * count}]

    assert plain_messages(messages(20), lambda role: False)
    with pytest.raises(ChatTemplateError, match="lists, objects and members"):
        plain_messages(messages(30), lambda role: False)


def test_a_bias_on_more_digits_than_any_token_has_is_refused() -> None:
    for digits in ("9" * 19, "9" * 5000):
        body = LlamaCompletionRequest(prompt="a", logit_bias=[[digits, 1]])
        with pytest.raises(RequestError, match="logit_bias"):
            body.settings()
    assert LlamaCompletionRequest(prompt="a", logit_bias=[["7", 1]]).settings() == {
        "logit_bias": {7: 1.0}
    }


def test_kept_responses_are_counted_as_by_adding_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kept_responses, "MAX_RESPONSES", 6)
    monkeypatch.setattr(kept_responses, "MAX_CHARACTERS", 1000)
    rng, path = random.Random(2), tmp_path / "state"
    file = Database(path)
    responses, other = Responses(file), Responses(Database(path))
    wanted: list[tuple[str, int]] = []
    for number in range(60):
        name = f"resp_{number}"
        text = "x" * rng.randrange(300)
        one: dict[str, Any] = {"id": name, "previous_response_id": None, "output": [], "text": text}
        # Another program changes the file, too.
        (other if rng.random() < 0.2 else responses).keep(one, [])
        wanted.append((name, len(json.dumps(one)) + len("[]")))
        while len(wanted) > 6:
            wanted.pop(0)
        while (total := sum(size for _, size in wanted)) > 1000:
            usual = total / len(wanted)
            long = (at for at, (_, size) in enumerate(wanted[:-1]) if size >= usual)
            wanted.pop(next(long, 0))
        if rng.random() < 0.2:
            responses.forget(wanted.pop()[0])
        with file.read_transaction() as rows:
            kept = rows.execute("SELECT id, size FROM responses ORDER BY created").fetchall()
        assert [tuple(row) for row in kept] == wanted
    with pytest.raises(KeyError):
        responses.forget("nothing")
    responses.keep({"id": "resp_x", "previous_response_id": None, "output": []}, [])
    assert len(responses.response("resp_x")) == 3


def test_no_key_and_no_long_response_puts_out_those_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_responses, "MAX_RESPONSES", 12)
    monkeypatch.setattr(kept_responses, "MAX_CHARACTERS", 4000)
    responses = Responses(Database())

    def keep(name: str, owner: str, length: int = 10) -> None:
        one: dict[str, Any] = {"id": name, "previous_response_id": None, "output": []}
        responses.keep(one | {"text": "x" * length}, [], owner)

    def kept(name: str) -> bool:
        with contextlib.suppress(KeyError):
            return bool(responses.response(name))
        return False

    for number in range(3):
        keep(f"alice_{number}", "alice")
    for number in range(30):
        keep(f"many_{number}", "bob")
    assert [kept(f"many_{number}") for number in (20, 21, 29)] == [False, True, True]
    for number in range(30):
        keep(f"long_{number}", "bob", 1500)
        assert kept(f"long_{number}")
    assert all(kept(f"alice_{number}") for number in range(3))
    # Without keys there is one owner: what is short stays beside what is long.
    responses = Responses(Database())
    keep("short", "")
    for number in range(9):
        keep(f"long_{number}", "", 1500)
    assert kept("short")
    assert kept("long_8")
    assert not kept("long_0")


def guarded(
    app: Callable[[Scope, Receive, Send], Awaitable[None]], **settings: Any
) -> tuple[AccessMiddleware, Callable[[bytes], Awaitable[list[Message]]]]:
    """Return an application behind the middleware, and what sends a body to it."""
    middleware = AccessMiddleware(app, Metrics(), Settings(**settings))
    scope: Scope = {"type": "http", "method": "POST", "path": "/x", "headers": []}

    async def asked(body: bytes) -> list[Message]:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await middleware(dict(scope), receive, send)
        return sent

    return middleware, asked


def test_bodies_of_all_requests_have_a_limit_and_small_ones_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(body_budget, "ALWAYS_TAKEN", 10)

    async def whole() -> None:
        ended = asyncio.Event()

        async def app(_: Scope, receive: Receive, __: Send) -> None:
            await receive()
            await ended.wait()

        middleware, asked = guarded(app, max_bodies=250, max_body=100)
        running = [asyncio.ensure_future(asked(b"x" * 100)) for _ in range(2)]
        await asyncio.sleep(0)
        assert middleware.bodies.held == 200
        with pytest.raises(HTTPException) as refused:
            await asked(b"x" * 100)
        assert refused.value.status_code == 503
        assert refused.value.headers == {"Retry-After": "2"}
        running += [asyncio.ensure_future(asked(b"x" * 10)) for _ in range(9)]
        await asyncio.sleep(0)
        ended.set()
        await asyncio.gather(*running)
        assert middleware.bodies.held == 0

    asyncio.run(whole())


def test_what_does_not_end_by_itself_is_ended_with_a_typed_answer() -> None:
    async def app(_: Scope, __: Receive, ___: Send) -> None:
        assert current_limit.get() is not None
        await asyncio.sleep(60)

    async def whole() -> None:
        _, asked = guarded(app, timeout=0.05)
        start, body = await asked(b"")
        assert start["status"] == 408
        assert (b"x-should-retry", b"false") in start["headers"]
        assert json.loads(body["body"])["error"]["code"] == "deadline"
        assert current_limit.get() is None

    asyncio.run(whole())


def test_the_earlier_of_two_limits_holds() -> None:
    assert (seconds_left(None), earliest_deadline(None), seconds_left(5.0)) == (None, None, 5.0)
    limit, longer = TimeLimit.of(100.0), TimeLimit.of(1000.0)
    assert limit.ends - limit.settles == pytest.approx(8.0)
    assert longer.ends - longer.settles == pytest.approx(28.0)
    before = current_limit.set(limit)
    try:
        assert seconds_left(5.0) == 5.0
        assert seconds_left(None) == pytest.approx(100.0, abs=5.0)
        assert seconds_left(500.0) == pytest.approx(100.0, abs=5.0)
        assert earliest_deadline(None) == earliest_deadline(limit.ends) == limit.settles
        assert earliest_deadline(limit.settles - 1) == limit.settles - 1
    finally:
        current_limit.reset(before)


def test_preparing_ends_with_the_time_of_its_request() -> None:
    async def whole() -> None:
        preparing = Preparing(4)
        began = time.perf_counter()
        with pytest.raises(DeadlineError, match="preparation"):
            await preparing.run(lambda: time.sleep(0.5), 0.05, constrained=False)
        assert time.perf_counter() - began < 0.45
        preparing.close()

    asyncio.run(whole())


def test_a_text_without_an_end_is_its_best_draft_before_the_servers_time_is_over(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limit, "RESERVE_PART", 1.0)
    monkeypatch.setattr(time_limit, "RESERVE_SECONDS", 59.9)
    app = create_app({"m": redraft.load(checkpoint)}, Settings(timeout=60.0))
    endless = {
        "confidence_threshold": 1e-9,
        "max_denoising_steps": 2000,
        "stability_threshold": 999,
    }
    body: dict[str, Any] = {"model": "m", "prompt": "a", "max_tokens": 40} | endless
    with TestClient(app) as client:
        (choice,) = client.post("/v1/completions", json=body).json()["choices"]
        assert (choice["finish_reason"], choice["settled"]) == ("length", False)
        lines = client.post("/v1/completions", json=body | {"stream": True}).text.splitlines()
        assert lines[-2] == "data: [DONE]"
        (choice,) = json.loads(lines[-4].removeprefix("data: "))["choices"]
        assert (choice["finish_reason"], choice["settled"]) == ("length", False)
