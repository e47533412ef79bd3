"""Clients that send half a request, or too many connections."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx2
import pytest
from fastapi import FastAPI, Request

from redraft.cli.graceful import GracefulServer
from redraft.server.runtime.connections import MAX_HEADERS, ConnectionLimits, RateLimit

HALF_HEAD = b"GET /health HTTP/1.1\r\nhost: x\r\n"
HALF_BODY = b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc"
LIMITS = ConnectionLimits(max_connections=12, head_seconds=0.5, body_seconds=1.0)


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/wait")
    async def wait() -> None:
        await asyncio.sleep(1.5)

    @app.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    return app


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    async def stop() -> None:
        return None

    server = GracefulServer(application(), 1.0, stop, LIMITS)
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(30)


def connect(port: int, sent: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=20)
    made.sendall(sent)
    return made


def is_closed(connection: socket.socket) -> bool:
    """Wait for the server's answer, or for its end."""
    try:
        return connection.recv(1 << 16) == b""
    except ConnectionResetError:
        return True


def read_until(connection: socket.socket, ending: bytes) -> None:
    found = b""
    while not found.endswith(ending):
        part = connection.recv(1 << 16)
        assert part, found
        found += part


def test_new_clients_are_answered_beside_many_half_heads(port: int) -> None:
    with ExitStack() as stack:
        half = [stack.enter_context(connect(port, HALF_HEAD)) for _ in range(60)]
        for _ in range(5):
            assert httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 200
        assert all(map(is_closed, half))


def test_new_clients_are_answered_beside_many_half_bodies(port: int) -> None:
    with ExitStack() as stack:
        half = [stack.enter_context(connect(port, HALF_BODY)) for _ in range(60)]
        for _ in range(5):
            assert httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 200
        assert all(map(is_closed, half))


def chunked(part: bytes, count: int) -> bytes:
    head = b"POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%s\r\n" % (len(part), part) * count + b"0\r\n\r\n"


def test_bodies_in_parts_are_read_unless_the_parts_are_tiny(port: int) -> None:
    """Each part takes the event loop's time, whatever its length."""
    for part, count, answer in ((b"a", 1000, b"1000"), (b"b" * 300, 4000, b"1200000")):
        with connect(port, chunked(part, count)) as whole:
            read_until(whole, answer)
    # It may end before all is sent, and reset what is read.
    with connect(port, b"") as tiny, suppress(ConnectionError):
        tiny.sendall(chunked(b"a", 40_000))
        assert tiny.recv(1 << 16).startswith(b"HTTP/1.1 400")
        read_until(tiny, b"0\r\n\r\n")
        assert is_closed(tiny)
    assert httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 200


@pytest.mark.parametrize("sent", [b"", HALF_HEAD, HALF_BODY])
def test_a_client_that_sends_half_is_dropped(port: int, sent: bytes) -> None:
    with connect(port, sent) as half:
        assert is_closed(half)


def test_half_a_head_behind_an_answer_is_dropped_too(port: int) -> None:
    with connect(port, HALF_HEAD + b"\r\n") as half:
        read_until(half, b'"ok"}')
        half.sendall(HALF_HEAD)
        assert is_closed(half)


def test_a_slow_request_within_its_time_is_answered(port: int) -> None:
    with connect(port, HALF_HEAD[:20]) as slow:
        time.sleep(0.1)
        slow.sendall(HALF_HEAD[20:] + b"\r\n")
        read_until(slow, b'"ok"}')
        slow.sendall(HALF_BODY)
        time.sleep(0.1)
        slow.sendall(b"x" * 97)
        read_until(slow, b"\r\n\r\n100")
        # A connection that waits between two requests is no half one.
        time.sleep(LIMITS.head_seconds + 0.3)
        slow.sendall(HALF_HEAD + b"\r\n")
        read_until(slow, b'"ok"}')


def test_more_requests_than_connections_get_503(port: int) -> None:
    with ExitStack() as stack:
        for _ in range(LIMITS.max_connections):
            stack.enter_context(connect(port, b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n"))
        time.sleep(0.1)
        assert httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 503


def test_a_message_is_logged_so_many_times(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("tests.limited")
    log.addFilter(RateLimit(3, 60))
    for number in range(50):
        log.warning("a client sent %s", number)
        if number % 10 == 0:
            log.warning("another")
    assert [record.getMessage() for record in caplog.records].count("another") == 2
    assert len(caplog.records) == 6
    assert "further ones" in caplog.records[-1].getMessage()


def test_the_limit_lies_below_the_files_that_may_be_open() -> None:
    resource = pytest.importorskip("resource")
    limits = ConnectionLimits.of_system()
    assert limits.max_connections < resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@pytest.mark.long
def test_an_idle_connection_is_used_again_later_than_clients_keep_it(port: int) -> None:
    """Python's httpx keeps one for 5 s, Node's fetch for 4."""
    whole = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    with connect(port, whole) as connection:
        read_until(connection, b'"ok"}')
        time.sleep(6)
        connection.sendall(whole)
        read_until(connection, b'"ok"}')


@pytest.mark.parametrize(("count", "status"), [(MAX_HEADERS, b"200"), (MAX_HEADERS + 1, b"400")])
def test_headers_have_a_limit(port: int, count: int, status: bytes) -> None:
    head = b"GET /health HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * (count - 1) + b"\r\n"
    with connect(port, head) as made:
        assert made.recv(1000).startswith(b"HTTP/1.1 " + status)
