"""axe-core finds nothing serious: every view, at two widths, in light and dark."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

pytest.importorskip("axe_playwright_python", reason="pip install axe-playwright-python")

from axe_playwright_python.sync_playwright import Axe

from tests.browser.test_shell import VIEWS, used

SERIOUS = ("serious", "critical")


def problems(tab: Page) -> list[str]:
    """Return what axe finds, each with the first element that it finds it in."""
    found = Axe().run(tab).response["violations"]
    return [
        f"{one['impact']}: {one['id']} {one['nodes'][0]['target']}"
        for one in found
        if one["impact"] in SERIOUS
    ]


# Of the ordinary run the first view in light alone: axe takes a second at each width.
CASES = [
    pytest.param(
        view, theme, marks=[] if (view, theme) == ("canvas", "light") else pytest.mark.long
    )
    for view in VIEWS
    for theme in ("light", "dark")
]


@pytest.mark.parametrize(("view", "theme"), CASES)
def test_a_view_has_no_serious_findings(tab: Page, view: str, theme: str) -> None:
    tab.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    used(tab, view)
    for width in (1280, 400):
        tab.set_viewport_size({"width": width, "height": 900})
        assert problems(tab) == [], f"{view} at {width}"


@pytest.mark.long
def test_the_pages_around_have_none_either(tab: Page) -> None:
    tab.goto("/docs")
    expect(tab.locator("h1")).to_contain_text("HTTP API")
    assert problems(tab) == []
    tab.goto("/")
    tab.locator("h1").first.wait_for()
    tab.keyboard.press("?")
    expect(tab.get_by_role("dialog")).to_be_visible()
    assert problems(tab) == []


def test_the_first_tab_stop_skips_to_the_content(tab: Page) -> None:
    tab.goto("/#/sudoku")
    tab.locator("h1").first.wait_for()
    tab.keyboard.press("Tab")
    skip = tab.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.locator("main")).to_be_focused()
    expect(tab.locator("h1")).to_have_text("Sudoku")
