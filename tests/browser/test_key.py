"""A server with a key: the page comes without, and asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import TIMEOUT, LiveServer


@pytest.fixture
def locked(chrome: Browser, models: dict[str, Any], tmp_path: Path) -> Iterator[Page]:
    server = LiveServer(models, tmp_path / "kept.db", api_key="secret")
    context = chrome.new_context(base_url=server.address)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT)
    yield page
    context.close()
    server.close()


def give(page: Page, key: str) -> None:
    page.get_by_role("textbox", name="API key").fill(key)
    page.get_by_role("button", name="Use key").click()


def test_the_page_asks_for_the_key_once_and_keeps_it_for_the_tab(locked: Page) -> None:
    sent: list[str | None] = []
    locked.on(
        "request",
        lambda request: (
            sent.append(request.headers.get("authorization")) if "/v1/" in request.url else None
        ),
    )
    locked.goto("/#/canvas")
    expect(locked.get_by_role("dialog")).to_contain_text("requires an API key")
    give(locked, "wrong")
    expect(locked.get_by_role("dialog")).to_contain_text("refused")
    give(locked, "secret")
    locked.locator("#prompt").fill("calc 17+25-03")
    locked.get_by_role("button", name="Run", exact=True).click()
    expect(locked.get_by_test_id("written")).to_have_text("39;17+25=42;42-03=39")
    locked.goto("/#/editor")
    locked.locator(".cm-content").wait_for()
    locked.reload()
    locked.locator(".cm-content").wait_for()
    expect(locked.get_by_role("dialog")).to_have_count(0)
    assert sent[:3] == [None, "Bearer wrong", "Bearer secret"]
    assert set(sent[3:]) == {"Bearer secret"}
    assert locked.evaluate("localStorage.getItem('redraft.key')") is None


def test_whoever_has_no_key_is_told_and_may_try_again(locked: Page) -> None:
    locked.goto("/")
    locked.get_by_role("button", name="Cancel").click()
    expect(locked.locator(".toast")).to_contain_text("key is missing")
    locked.get_by_role("button", name="Try again").click()
    give(locked, "secret")
    expect(locked.locator("#prompt")).to_be_visible()
