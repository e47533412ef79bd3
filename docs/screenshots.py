"""Pictures of the playground for the docs: `python docs/screenshots.py [FOLDER]` writes them into
docs/images.

It needs playwright, and a chromium as tests/browser looks for one. The server is started for it,
with the models that ship.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

import redraft

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.browser.conftest import QUIET, LiveServer, chromium

SIZE = {"width": 1280, "height": 820}


def main(folder: Path) -> None:
    """Every view in light and dark."""
    models = {name: redraft.load(name, dtype="float32") for name in ("small", "small-text")}
    path = chromium()
    if path is None:
        sys.exit("no browser: install chromium or google-chrome, or name one in REDRAFT_CHROMIUM")
    with tempfile.TemporaryDirectory() as kept, sync_playwright() as playwright:
        server = LiveServer(models, Path(kept) / "kept.db")
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        for theme in ("light", "dark"):
            context = browser.new_context(
                viewport=SIZE, base_url=server.address, color_scheme=theme, device_scale_factor=1.5
            )
            page = context.new_page()
            for name, prepare in VIEWS.items():
                prepare(page)
                page.screenshot(path=folder / f"playground-{name}-{theme}.png")
            context.close()
        browser.close()
        server.close()


def canvas(page: Page) -> None:
    """Halfway: some positions are settled, some were just revised."""
    page.goto("/#/canvas")
    page.locator("#prompt").fill("calc 39-15*03-62-06+69")
    page.get_by_role("button", name="real time").click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("button", name="Play", exact=True).wait_for()
    page.get_by_label("Denoising step").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.locator(".cell").nth(1).hover()
    page.evaluate("scrollTo(0, 330)")


def editor(page: Page) -> None:
    """A draft that waits to be accepted."""
    page.goto("/#/editor")
    page.locator(".cm-content").wait_for()
    page.get_by_role("button", name="Fill", exact=True).last.click()
    page.get_by_role("button", name="Accept").wait_for()


def sudoku(page: Page) -> None:
    """While conflicts are still being corrected."""
    page.goto("/#/sudoku")
    page.get_by_label("Difficulty").select_option("56")
    with page.expect_response("**/play/sudoku"):
        page.get_by_role("button", name="New puzzle").click()
    page.get_by_role("button", name="Solve").click()
    page.locator(".sq.wrong").first.wait_for()


def wiki(page: Page) -> None:
    """The second page of two."""
    page.goto("/#/wiki/Cordunia%20(full)")
    page.get_by_label("Saved pages").get_by_text("Cordunia (full)").wait_for()
    page.frame_locator("iframe").get_by_text("Yarbraby").click()
    page.get_by_label("Saved pages").get_by_text("Yarbraby (full)").wait_for()
    page.wait_for_timeout(300)


def voice(page: Page) -> None:
    """After an instruction."""
    page.goto("/#/voice")
    page.locator(".cm-content").wait_for()
    page.get_by_role("textbox", name="Instruction").fill("I did fix the bike")
    page.get_by_role("button", name="Apply").click()
    page.get_by_label("Change", exact=True).wait_for()
    page.wait_for_timeout(300)


VIEWS = {"canvas": canvas, "editor": editor, "sudoku": sudoku, "wiki": wiki, "voice": voice}

if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images")
