"""Web applications of other origins, proxies, named keys, unix sockets and TLS."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from redraft.api import load
from redraft.cli.graceful import GracefulServer
from redraft.cli.listening import Place, listening_at
from redraft.cli.serving import warnings_of
from redraft.errors import ConfigError
from redraft.server import Settings, create_app
from redraft.server.forwarded import ForwardedMiddleware, checked_proxies
from redraft.server.keys import ApiKey, KeyLimitError, KeyUsage, read_keys
from redraft.server.origins import checked_origins
from tests.server.certificates import write_certificate
from tests.server.test_openai import QUICK, Served

APP = "http://app.example:3000"
KEYS = (
    ApiKey(name="alice", key="a-key", requests_per_minute=3),
    ApiKey(name="bob", key="b-key", tokens_per_minute=5),
)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served(keys=KEYS, cors_origins=[APP, "http://localhost:5173"], hosts=("127.0.0.1",))
    yield server
    server.close()


def url(served: Served, path: str) -> str:
    return f"http://127.0.0.1:{served.port}{path}"


def preflight(served: Served, origin: str, **headers: str) -> httpx2.Response:
    asking = {"origin": origin, "access-control-request-method": "POST", **headers}
    return httpx2.request("OPTIONS", url(served, "/v1/chat/completions"), headers=asking)


def test_an_allowed_origin_may_ask_and_read(served: Served) -> None:
    found = preflight(
        served, APP, **{"access-control-request-headers": "authorization,content-type"}
    )
    assert found.status_code == 204
    assert found.headers["access-control-allow-origin"] == APP
    assert found.headers["access-control-allow-headers"] == "authorization,content-type"
    assert "POST" in found.headers["access-control-allow-methods"]
    headers = {"origin": APP, "sec-fetch-site": "cross-site", "authorization": "Bearer b-key"}
    found = httpx2.get(url(served, "/v1/models"), headers=headers)
    assert (found.status_code, found.headers["access-control-allow-origin"]) == (200, APP)
    # A page may read why it was refused.
    body = {"model": "small-text", "text": "x"}
    found = httpx2.post(
        url(served, "/tokenize"), json=body, headers=headers | {"authorization": "x"}
    )
    assert (found.status_code, found.headers["access-control-allow-origin"]) == (401, APP)
    assert "Origin" in found.headers["vary"]
    assert (
        httpx2.post(url(served, "/tokenize"), json=body, headers=headers, timeout=60).status_code
        == 200
    )


@pytest.mark.parametrize(
    "origin",
    [
        "http://app.example",
        "https://app.example:3000",
        "http://app.example:3000.evil",
        "null",
        "http://other",
    ],
)
def test_another_origin_may_not(served: Served, origin: str) -> None:
    found = preflight(served, origin)
    assert found.status_code == 403
    assert "access-control-allow-origin" not in found.headers
    headers = {"origin": origin, "authorization": "Bearer b-key"}
    found = httpx2.post(url(served, "/tokenize"), json={"text": "x"}, headers=headers)
    assert found.status_code == 403
    assert "access-control-allow-origin" not in found.headers


def test_a_name_that_is_not_the_servers_is_refused_before_all(served: Served) -> None:
    found = preflight(served, APP, host="evil.example")
    assert found.status_code == 403


@pytest.mark.parametrize("origin", ["*", "app.example", "http://a/b", "ftp://a", "", "http://a b"])
def test_what_is_no_origin_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ConfigError, match="is not valid"):
        checked_origins([origin])


def test_keys_have_limits_and_are_counted_by_name(served: Served) -> None:
    def ask(key: str, **more: Any) -> httpx2.Response:
        body = {"model": "small-text", "prompt": "x", "max_tokens": 8} | QUICK | more
        headers = {"authorization": f"Bearer {key}"}
        return httpx2.post(url(served, "/v1/completions"), json=body, headers=headers, timeout=60)

    statuses = [ask("a-key").status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    refused = ask("a-key")
    assert refused.json()["error"]["code"] == "key_limit"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    # Reading has no limit.
    assert httpx2.get(url(served, "/v1/models"), headers={"x-api-key": "a-key"}).status_code == 200
    statuses = [ask("b-key", eos_token_id=[]).status_code for _ in range(2)]
    assert statuses == [200, 429]
    metrics = httpx2.get(url(served, "/metrics"), headers={"x-api-key": "a-key"}).text
    assert 'redraft_key_refused_total{key="alice"} 2.0' in metrics
    assert 'redraft_key_tokens_total{key="bob"} 8.0' in metrics
    assert "a-key" not in metrics


def test_a_key_may_have_so_many_requests_at_a_time() -> None:
    usage = KeyUsage(ApiKey(name="x", key="y", running=2))
    usage.admit(works=True)
    usage.admit(works=True)
    with pytest.raises(KeyLimitError):
        usage.admit(works=True)
    usage.leave()
    usage.admit(works=True)


def test_keys_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text('[keys.alice]\nkey = "one"\nrequests_per_minute = 5\n[keys.bob]\nkey = "two"\n')
    alice, bob = read_keys(file)
    assert (alice.name, alice.requests_per_minute, bob.running) == ("alice", 5, None)
    for text in (
        "", "keys = 1", '[keys]\na = "hidden"', '[keys.a]\nkay = "hidden"', '[keys.a]\nkey = "hidden"\nx = 1', "[[",
        '[keys.a]\nkey = "hidden"\n[keys.b]\nkey = "hidden"', '[keys.a]\nkey = "hidden"\nrunning = 0', '[keys.a]\nkey = ""',
        '[keys.a]\nkey = "hidden"\nrunning = true', '[other]\nkey = "hidden"',
    ):  # fmt: skip
        file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            read_keys(file)
        assert "hidden" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(tmp_path / "none.toml")
    assert "secret" not in repr(ApiKey(name="x", key="secret"))


def forwarded(client: Any, headers: dict[str, str], *proxies: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.update(scope)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "scheme": "http", "client": client, "headers": raw}
    middleware = ForwardedMiddleware(app, checked_proxies(proxies))
    asyncio.run(middleware(scope, None, None))  # type: ignore[arg-type]
    return seen | {"headers": {name.decode(): value.decode() for name, value in seen["headers"]}}


SAID = {
    "host": "inner", "x-forwarded-for": "6.6.6.6, 9.9.9.9, 10.0.0.7", "x-forwarded-proto": "https",
    "x-forwarded-host": "outer.example", "x-forwarded-prefix": "/x",
}  # fmt: skip


def test_a_named_proxy_is_believed() -> None:
    seen = forwarded(("10.0.0.5", 1), SAID, "10.0.0.0/8")
    assert seen["scheme"] == "https"
    assert seen["client"] == ("9.9.9.9", 0)  # the one before it, a client can have made up
    assert seen["headers"] == {"host": "outer.example"}
    assert forwarded(None, SAID, "unix")["client"] == ("10.0.0.7", 0)


@pytest.mark.parametrize("client", [("11.0.0.5", 1), ("::1", 1), None, ("", 0), ("name", 1)])
def test_nobody_else_is(client: Any) -> None:
    seen = forwarded(client, SAID, "10.0.0.0/8")
    assert (seen["scheme"], seen["client"], seen["headers"]) == ("http", client, {"host": "inner"})


def test_what_is_no_proxy_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"example\.com"):
        checked_proxies(["example.com"])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("tls"))


def started(server: GracefulServer, listening: socket.socket) -> threading.Thread:
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    return thread


def server_of(place: Place, checkpoint: Path) -> GracefulServer:
    app = create_app({"tiny": load(checkpoint)}, Settings())
    return GracefulServer(app, 1.0, app.state.stop, certificate=place.certificate)


def test_it_speaks_tls(certificate: tuple[Path, Path], checkpoint: Path) -> None:
    import ssl

    place = Place("127.0.0.1", 0, None, *certificate)
    place.check_certificate()
    server = server_of(place, checkpoint)
    with listening_at(place, 10) as listening:
        thread = started(server, listening)
        address = place.address(listening)
        assert address.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(certificate[0]))
        assert httpx2.get(f"{address}/health", verify=context, timeout=60).json() == {
            "status": "ok"
        }
        server.should_exit = True
        thread.join(20)


def test_a_certificate_that_cannot_be_used_is_told(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = certificate
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for files in ((wrong, key), (cert, wrong), (tmp_path / "none", key), (cert, None), (None, key)):
        with pytest.raises(ConfigError):
            Place("127.0.0.1", 0, None, *files).check_certificate()


def test_it_listens_at_a_unix_socket(tmp_path: Path, checkpoint: Path) -> None:
    path = tmp_path / "server.sock"
    place = Place("127.0.0.1", 0, path)
    server = server_of(place, checkpoint)
    with listening_at(place, 10) as listening:
        thread = started(server, listening)
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(path))
            raw.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            raw.settimeout(10)
            answer = b""
            while part := raw.recv(1000):
                answer += part
        assert json.loads(answer.split(b"\r\n\r\n")[1]) == {"status": "ok"}
        with pytest.raises(ConfigError, match="another server"), listening_at(place, 10):
            pass
        server.should_exit = True
        thread.join(20)
    assert not path.exists()


def test_a_dead_socket_is_replaced_and_another_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listening_at(Place("", 0, path), 10):
        assert path.stat().st_mode & 0o777 == 0o660
    path.write_text("mine")
    with pytest.raises(ConfigError, match="no socket"), listening_at(Place("", 0, path), 10):
        pass
    assert path.read_text() == "mine"


def test_a_server_that_is_open_to_others_warns(certificate: tuple[Path, Path]) -> None:
    def words(place: Place, **settings: Any) -> str:
        return " ".join(warnings_of(place, Settings(**settings)))

    named: dict[str, Any] = {"hosts": ("a.example",)}
    assert words(Place("127.0.0.1", 1)) == ""
    assert words(Place("0.0.0.0", 1, Path("x.sock"))) == ""
    assert "everyone" in words(Place("0.0.0.0", 1), **named)
    assert "unencrypted" in words(Place("0.0.0.0", 1), **named, keys=KEYS)
    assert words(Place("0.0.0.0", 1, None, *certificate), **named, api_key="x") == ""
    assert "--allowed-host" in words(Place("0.0.0.0", 1))


@pytest.mark.parametrize(
    ("host", "accepted"),
    [
        ("localhost", True), ("LOCALHOST:80", True), ("127.0.0.1:8000", True), ("[::1]:80", True),
        ("localhost#.evil.example", False), ("localhost?.evil.example", False),
        ("127.0.0.1/evil.example", False), ("localhost:abc", False), ("evil@localhost", False),
        ("localhost evil.example", False), ("localhost,evil.example", False),
    ],
)  # fmt: skip
def test_a_host_is_a_name_and_a_port(checkpoint: Path, host: str, accepted: bool) -> None:
    app = create_app({"tiny": load(checkpoint)}, Settings(hosts=("localhost", "127.0.0.1", "::1")))
    with TestClient(app) as client:
        answer = client.get("/health", headers={"host": host})
    assert (answer.status_code == 200) == accepted
