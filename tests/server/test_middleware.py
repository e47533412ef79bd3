"""Who is let in, with how much, and what is counted."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from redraft.cli import serving
from redraft.cli.play import play
from redraft.cli.serve import serve
from redraft.server import Settings
from redraft.server.middleware import AccessMiddleware
from redraft.server.runtime.metrics import Metrics
from tests.server.test_openai import Served


@pytest.fixture(scope="module")
def locked() -> Iterator[Served]:
    server = Served(api_key="secret", hosts=("127.0.0.1",))
    yield server
    server.close()


def spoken(served: Served, head: str, body: bytes) -> str:
    """The first line of the answer to bytes that no client would send."""
    with socket.create_connection(("127.0.0.1", served.port)) as raw:
        raw.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        raw.settimeout(10)
        return raw.recv(1000).decode().splitlines()[0]


def asked(app: ASGIApp, metrics: Metrics, body: list[bytes], **settings: Any) -> list[Message]:
    """What an application sends behind a guard, for a request in pieces that says nothing true of
    its length."""
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/x",
        "headers": [(b"content-length", b"1")],
    }
    pieces = iter([{"type": "http.request", "body": part, "more_body": True} for part in body])
    sent: list[Message] = []

    async def receive() -> Message:
        return next(pieces, {"type": "http.request", "body": b"", "more_body": False})

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(AccessMiddleware(app, metrics, Settings(**settings))(scope, receive, send))
    return sent


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


HEAD = "POST /tokenize HTTP/1.1\nhost: 127.0.0.1\nauthorization: Bearer secret\ncontent-type: application/json\n"


def test_a_body_in_chunks_is_read_up_to_the_limit(locked: Served) -> None:
    head = HEAD + "connection: close\ntransfer-encoding: chunked"
    body = json.dumps({"model": "small-text", "text": "a b"}).encode()
    assert " 200 " in spoken(locked, head, chunked(*[body[at : at + 1] for at in range(len(body))]))
    assert " 413 " in spoken(locked, head, chunked(*[b"a" * (1 << 20)] * 5))


def test_two_lengths_of_a_body_end_the_connection(locked: Served) -> None:
    body = json.dumps({"model": "small-text", "text": "a"}).encode()
    with socket.create_connection(("127.0.0.1", locked.port)) as raw:
        head = HEAD + f"content-length: {len(body)}\ntransfer-encoding: chunked\n\n"
        raw.sendall(head.replace("\n", "\r\n").encode() + chunked(body))
        raw.settimeout(10)
        found = b""
        while part := raw.recv(1 << 16):
            found += part
    assert found.startswith(b"HTTP/1.1 400 ")
    assert found.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer secret"},
        {"authorization": "bearer  secret"},
        {"authorization": "secret"},
        {"x-api-key": "secret"},
        {"api-key": "secret"},
    ],
)
def test_a_key_may_come_as_each_client_sends_it(locked: Served, headers: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{locked.port}/v1/models"
    assert httpx2.get(url, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Basic secret"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer wrong", "x-api-key": "also wrong"},
        {"x-api-key": ""},
    ],
)
def test_a_wrong_key_is_told(locked: Served, headers: dict[str, str]) -> None:
    found = httpx2.get(f"http://127.0.0.1:{locked.port}/v1/models", headers=headers)
    assert found.status_code == 401
    assert found.headers["www-authenticate"] == "Bearer"


def test_a_body_is_counted_whatever_it_says_of_itself() -> None:
    read: list[int] = []

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive())["more_body"]:
            read.append(len(message["body"]))

    asked(reading, Metrics(), [b"x" * 10] * 10, max_body=100)
    with pytest.raises(HTTPException) as caught:
        asked(reading, Metrics(), [b"x" * 10] * 11, max_body=100)
    assert (caught.value.status_code, sum(read)) == (413, 200)


def test_what_fails_unexpectedly_is_counted() -> None:
    metrics, labels = Metrics(), {"route": "other", "status": "500"}

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("a bug")

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise KeyError("a bug")

    for app in (broken, late):
        with pytest.raises(KeyError):
            asked(app, metrics, [])
    assert metrics.registry.get_sample_value("redraft_responses_total", labels) == 1


@pytest.mark.parametrize("headers", [{"host": "[::1"}, {"origin": "http://[x"}])
def test_names_that_are_none_come_from_elsewhere(locked: Served, headers: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{locked.port}/tokenize"
    found = httpx2.post(
        url,
        json={"model": "small-text", "text": "a"},
        headers=headers | {"authorization": "Bearer secret"},
    )
    assert found.status_code == 403


def test_with_a_key_the_page_is_open_and_all_that_it_asks_for_is_not(locked: Served) -> None:
    url = f"http://127.0.0.1:{locked.port}"
    page = httpx2.get(f"{url}/")
    assert page.status_code == 200
    scripts = [part.removeprefix(".") for part in page.text.split('"') if part.endswith(".js")]
    assert scripts
    for path in (*scripts, "/icon.svg", "/index.html", "/health", "/ready"):
        assert httpx2.get(url + path).status_code == 200, path
    for path in (
        "/v1/models",
        "/v1/sessions",
        "/play/config",
        "/metrics",
        "/docs",
        "/openapi.json",
        "//v1/models",
    ):
        assert " 401 " in spoken(locked, f"GET {path} HTTP/1.1\nhost: 127.0.0.1", b""), path
    assert " 404 " in spoken(locked, "GET /assets/../v1/models HTTP/1.1\nhost: 127.0.0.1", b"")
    assert httpx2.post(f"{url}/", json={}).status_code == 401


class Reached(Exception):
    """The server would start now."""


@pytest.mark.parametrize(("command", "key"), [(play, None), (serve, "from outside")])
def test_the_playground_asks_for_no_key(
    command: Callable[..., None],
    key: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    given: list[Settings] = []

    def create(models: Any, settings: Settings, recogniser: Any) -> None:
        given.append(settings)
        raise Reached

    monkeypatch.setenv(serving.KEY, "from outside")
    monkeypatch.setattr("redraft.server.create_app", create)
    with pytest.raises(Reached):
        command(model=["small"], port=0, state=tmp_path / "kept.db", dtype="float32", device="cpu")
    assert given[0].api_key == key
    assert given[0].state == tmp_path / "kept.db"
