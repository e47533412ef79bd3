"""The playground in a real browser, against a real server with the models that ship."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install playwright")
pytest.importorskip(
    "uvicorn", reason="the server's packages are not installed: pip install 'redraft[serve]'"
)

import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

import redraft
from redraft.checkpoint.source import SHIPPED
from redraft.server import Settings, create_app

# A busy machine is slow: what is expected has as long as any other step.
TIMEOUT = 20_000
expect.set_options(timeout=TIMEOUT)

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# A microphone that beeps, which the page may use without a question.
MICROPHONE = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]


def chromium() -> str | None:
    """Return the path of the browser: REDRAFT_CHROMIUM, the system's or playwright's."""
    named = os.environ.get("REDRAFT_CHROMIUM")
    found = named or next(
        (path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None
    )
    if found is None:
        with sync_playwright() as playwright:
            own = playwright.chromium.executable_path
        found = own if Path(own).exists() else None
    return found


class LiveServer:
    """A server in a thread, with its state in a file."""

    def __init__(
        self,
        models: dict[str, Any],
        state: Path,
        port: int = 0,
        api_key: str | None = None,
        speech: Any = None,
    ) -> None:
        app = create_app(models, Settings(state=state, api_key=api_key), speech)
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        listening = socket.create_server(("127.0.0.1", port))
        self.port = listening.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(
            target=lambda: asyncio.run(self.server.serve([listening])), daemon=True
        )
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture(scope="package")
def models() -> dict[str, Any]:
    return {name: redraft.load(name, dtype="float32") for name in SHIPPED}


@pytest.fixture(scope="package")
def live_server(
    models: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    server = LiveServer(models, tmp_path_factory.mktemp("state") / "kept.db")
    yield server
    server.close()


# Of this package and not of the session: playwright holds an event loop open, and tests elsewhere
# run their own.
@pytest.fixture(scope="package")
def chrome() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip(
            "no browser: install chromium or google-chrome, or name one in REDRAFT_CHROMIUM"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET + MICROPHONE)
        yield browser
        browser.close()


@pytest.fixture
def tab(chrome: Browser, live_server: LiveServer) -> Iterator[Page]:
    """A fresh profile at 1280 by 900. A test fails where the page throws, or asks for anything from
    elsewhere."""
    context = chrome.new_context(
        viewport={"width": 1280, "height": 900}, base_url=live_server.address, color_scheme="light"
    )
    page = context.new_page()
    page.set_default_timeout(TIMEOUT)
    thrown: list[str] = []
    elsewhere: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None if _own(request.url, live_server.address) else elsewhere.append(request.url)
        ),
    )
    yield page
    context.close()
    assert not thrown
    assert not elsewhere


def _own(url: str, address: str) -> bool:
    return url.startswith((address, "data:", "blob:", "about:"))
