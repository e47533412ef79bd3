"""Pictures for those who change the page: `python docs/page_states.py FOLDER [VIEW ...]`.

Every view in its first second, after a run, in an error of a run, and where nothing can be opened;
at 1280 and 400 pixels, in light and dark. They are looked at, and not kept. It needs what
docs/screenshots.py needs.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, Route, sync_playwright

import redraft

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.browser.conftest import QUIET, LiveServer, chromium
from tests.browser.test_shell import VIEWS, used

WIDTHS = (1280, 400)
THEMES = ("light", "dark")
FIRST_SECOND = 700  # milliseconds
PATIENCE = 60_000  # milliseconds
GENERATING = ("**/v1/chat/**", "**/v1/infill", "**/v1/edits")


def first(page: Page, view: str) -> None:
    """The view as it opens."""
    page.goto("about:blank")
    page.goto(f"/#/{view}")
    page.locator("h1").first.wait_for()
    page.wait_for_timeout(FIRST_SECOND)


def after(page: Page, view: str) -> None:
    """The view with something in it."""
    page.goto("about:blank")
    used(page, view)
    if view == "voice":
        page.get_by_role("button", name="make it blue").click()
        page.get_by_role("button", name="Apply").click()
        page.get_by_label("Change", exact=True).wait_for(timeout=PATIENCE)
    elif view == "wiki":
        page.get_by_text("written", exact=True).wait_for(timeout=PATIENCE)
    elif view == "sudoku":
        page.get_by_role("button", name="Stop").wait_for(state="hidden", timeout=PATIENCE)
    page.wait_for_timeout(FIRST_SECOND)


def refuse(route: Route) -> None:
    """Answer as a server that is full does."""
    message = '{"error": {"message": "the server takes no more requests: try again later"}}'
    route.fulfill(status=429, content_type="application/json", body=message)


def closed(page: Page, view: str) -> None:
    """The view whose every request is refused, from the start."""
    for path in (*GENERATING, "**/v1/sessions", "**/v1/sessions/**", "**/play/*"):
        page.route(path, refuse)
    first(page, view)


def error(page: Page, view: str) -> None:
    """The view whose text was opened, and whose generation is refused."""
    for path in GENERATING:
        page.route(path, refuse)
    first(page, view)
    buttons = {"canvas": "Run", "editor": "Fill", "sudoku": "Solve", "voice": "Apply"}
    if view == "wiki":
        page.get_by_role("button", name="Yarbraby").click()
    elif view == "voice":
        page.get_by_role("textbox", name="Instruction").fill("make it blue")
    if view in buttons:
        page.get_by_role("button", name=buttons[view], exact=True).last.click(timeout=PATIENCE)
    page.wait_for_timeout(FIRST_SECOND)


STATES: dict[str, Callable[[Page, str], None]] = {
    "first": first, "after": after, "error": error, "closed": closed,
}  # fmt: skip


def main(folder: Path, views: list[str]) -> None:
    """Write all pictures."""
    path = chromium()
    if path is None:
        sys.exit("no browser: install chromium or google-chrome, or name one in REDRAFT_CHROMIUM")
    folder.mkdir(parents=True, exist_ok=True)
    models = {name: redraft.load(name, dtype="float32") for name in ("small", "small-text")}
    with tempfile.TemporaryDirectory() as kept, sync_playwright() as playwright:
        server = LiveServer(models, Path(kept) / "kept.db")
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        for theme in THEMES:
            for width in WIDTHS:
                context = browser.new_context(
                    viewport={"width": width, "height": 900},
                    base_url=server.address,
                    color_scheme=theme,
                )
                page = context.new_page()
                for view in views:
                    for state, prepare in STATES.items():
                        try:
                            prepare(page, view)
                        except Exception as problem:
                            print(f"{view} {state}: {problem}", file=sys.stderr)
                        target = folder / f"{view}-{state}-{width}-{theme}.png"
                        page.screenshot(path=target, full_page=True)
                        page.unroute_all()
                        print(target)
                context.close()
        browser.close()
        server.close()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:] or list(VIEWS))
