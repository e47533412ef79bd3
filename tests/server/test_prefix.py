"""The server under a path of a reverse proxy, which strips it or does not."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urljoin

import httpx2
import pytest

from redraft.errors import ConfigError
from redraft.server.prefix import checked_prefix
from tests.server.test_openai import Served

PREFIX = "/some/place"


class Proxy(ThreadingHTTPServer):
    """A reverse proxy that has a server under PREFIX."""

    daemon_threads = True

    def __init__(self, target: str, strips: bool) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert self.path.startswith(PREFIX)
                path = (self.path.removeprefix(PREFIX) or "/") if strips else self.path
                size = int(self.headers.get("content-length", 0))
                with httpx2.Client(trust_env=False) as client:
                    answer = client.request(
                        self.command,
                        target + path,
                        content=self.rfile.read(size),
                        headers=dict(self.headers),
                    )
                self.send_response(answer.status_code)
                for name in ("content-type", "location", "content-security-policy"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}{PREFIX}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served(root_path=f"{PREFIX}/", api_key="secret")
    yield server
    server.close()


@pytest.fixture(params=[True, False], ids=["strips", "keeps"])
def proxy(request: pytest.FixtureRequest, served: Served) -> Iterator[Proxy]:
    found = Proxy(f"http://127.0.0.1:{served.port}", request.param)
    yield found
    found.shutdown()
    found.server_close()


@pytest.mark.parametrize("end", ["", "/", "/index.html"])
def test_the_page_finds_its_files_and_the_api(proxy: Proxy, end: str) -> None:
    with httpx2.Client(trust_env=False, follow_redirects=True) as client:
        page = client.get(proxy.url + end)
        assert page.status_code == 200
        assert "base-uri 'self'" in page.headers["content-security-policy"]
        (base,) = re.findall(r'<base href="(.+?)"', page.text)
        files = re.findall(r'(?:src|href)="(\./.+?)"', page.text)
        assert len(files) >= 3
        for file in (*files, "./health"):
            found = client.get(urljoin(urljoin(str(page.url), base), file))
            assert found.status_code == 200, file
        models = urljoin(urljoin(str(page.url), base), "./v1/models")
        assert client.get(models).status_code == 401
        key = {"authorization": "Bearer secret"}
        assert client.get(models, headers=key).json()["data"][0]["id"] == "small-text"
        body = {"model": "small-text", "text": "hi"}
        where = urljoin(urljoin(str(page.url), base), "./tokenize")
        assert client.post(where, json=body, headers=key).json()["count"]


def test_the_docs_and_their_description_are_behind_the_prefix(proxy: Proxy) -> None:
    key = {"authorization": "Bearer secret"}
    with httpx2.Client(trust_env=False, headers=key) as client:
        page = client.get(f"{proxy.url}/docs").text
        assert "/v1/chat/completions" in page
        (link,) = re.findall(r'(?:src|href)="([^#"]+)"', page)
        assert urljoin(f"{PREFIX}/docs", link) == f"{PREFIX}/openapi.json"
        found = client.get(f"{proxy.url}/openapi.json").json()
        assert found["servers"] == [{"url": PREFIX}]


@pytest.mark.parametrize("wrong", ["x", "/x y", "//x", "/../x", "/v1", "/assets/x", '/"', "/x?y"])
def test_a_prefix_that_cannot_be_used_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="path prefix"):
        checked_prefix(wrong)


def test_without_a_prefix_nothing_changes() -> None:
    assert checked_prefix("") == checked_prefix("/") == ""
