"""Clients that connect to a server with TLS, and do not shake hands."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from fastapi import FastAPI, Request

from redraft.cli.graceful import GracefulServer
from redraft.server.runtime.connections import ConnectionLimits
from tests.server.certificates import write_certificate

LIMITS = ConnectionLimits(max_connections=16, head_seconds=2.0)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    async def stop() -> None:
        return None

    app = FastAPI()

    @app.post("/length")
    async def length(request: Request) -> dict[str, object]:
        return {"length": len(await request.body()), "scheme": request.url.scheme}

    cert, key = write_certificate(tmp_path_factory.mktemp("tls"))
    server = GracefulServer(app, 1.0, stop, LIMITS, certificate=(str(cert), str(key)))
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(30)


def silent(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def asked(port: int, body: bytes = b"abc") -> bytes:
    """Return the answer to a request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with silent(port) as plain, context.wrap_socket(plain) as secured:
        head = f"POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
        secured.sendall(head.encode() + b"connection: close\r\n\r\n" + body)
        parts = iter(lambda: secured.recv(65536), b"")
        return b"".join(parts)


@pytest.mark.parametrize("length", [0, 3, 300_000])
def test_requests_are_answered(port: int, length: int) -> None:
    answer = asked(port, b"x" * length)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert answer.endswith(b'{"length":%d,"scheme":"https"}' % length), answer


def test_silent_connections_keep_nobody_out(port: int) -> None:
    """Four times as many as the server holds."""
    with ExitStack() as stack:
        connections = [stack.enter_context(silent(port)) for _ in range(64)]
        assert asked(port).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        for one in connections:  # the last of them are closed at their deadline
            one.settimeout(20)
            assert _ends(one)
        assert time.monotonic() - began < 15


def _ends(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_what_is_no_handshake_ends_the_connection_alone(port: int) -> None:
    with silent(port) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        said = b""
        with suppress(ConnectionResetError):
            said = b"".join(iter(lambda: plain.recv(4096), b""))
        assert b"HTTP" not in said
    assert asked(port).startswith(b"HTTP/1.1 200")
