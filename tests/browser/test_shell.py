from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

VIEWS = ("canvas", "editor", "sudoku", "wiki", "voice")

# Relative luminance and contrast as WCAG 2 defines them, of every element with text of its own
# against what lies behind it.
CONTRAST = """() => {
  const parse = (colour) => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  for (const node of document.querySelectorAll("#page *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    const seen = node.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (!own || !seen) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const name = `${node.tagName}.${node.className} "${node.textContent.trim().slice(0, 20)}"`;
    if (ratio < 4.5) found.push(`${name} ${ratio.toFixed(2)}`);
  }
  return found;
}"""


def used(tab: Page, view: str) -> None:
    """A view with something in it."""
    tab.goto(f"/#/{view}" + ("/Cordunia%20(full)" if view == "wiki" else ""))
    tab.locator("h1").first.wait_for()
    if view == "canvas":
        tab.get_by_role("button", name="real time").click()
        tab.get_by_role("button", name="Run", exact=True).click()
        expect(tab.get_by_role("button", name="Play", exact=True)).to_be_enabled()
    if view == "editor":
        tab.locator(".cm-content").wait_for()
        tab.get_by_role("button", name="Fill", exact=True).last.click()
        tab.get_by_role("button", name="Accept").wait_for()
    if view == "sudoku":
        tab.get_by_role("button", name="Solve").click()
        tab.wait_for_timeout(300)


@pytest.mark.parametrize("view", VIEWS)
def test_no_view_scrolls_sideways_at_400_pixels(tab: Page, view: str) -> None:
    tab.set_viewport_size({"width": 400, "height": 800})
    used(tab, view)
    assert tab.evaluate("document.documentElement.scrollWidth <= 400")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_text_stands_out_from_what_is_behind_it(tab: Page, view: str, theme: str) -> None:
    tab.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    used(tab, view)
    assert tab.evaluate(CONTRAST) == []


def test_the_theme_follows_the_system_until_told_otherwise(tab: Page) -> None:
    tab.goto("/")
    theme = tab.locator("html")
    expect(theme).to_have_attribute("data-theme", "light")
    tab.emulate_media(color_scheme="dark")
    expect(theme).to_have_attribute("data-theme", "dark")
    tab.locator("h1").click()
    tab.keyboard.press("t")
    expect(theme).to_have_attribute("data-theme", "light")
    tab.reload()
    expect(theme).to_have_attribute("data-theme", "light")


def test_keys_lead_to_views_and_tell_of_themselves(tab: Page) -> None:
    tab.goto("/")
    tab.locator("h1").click()
    tab.keyboard.press("3")
    expect(tab.locator("h1")).to_have_text("Sudoku")
    tab.keyboard.press("?")
    expect(tab.get_by_role("dialog")).to_be_visible()
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("dialog")).to_have_count(0)


def test_whoever_wants_no_motion_gets_the_last_draft(tab: Page) -> None:
    tab.emulate_media(reduced_motion="reduce")
    tab.goto("/#/canvas")
    tab.locator("#prompt").fill("calc 17+25-03")
    tab.get_by_role("button", name="Run", exact=True).click()
    expect(tab.get_by_test_id("written")).to_have_text("39;17+25=42;42-03=39")


def test_the_page_keeps_to_a_strict_policy(tab: Page) -> None:
    """Nothing inline, nothing from elsewhere: the policy of a careful host breaks no view."""
    policy = (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-src 'self'; "
        "img-src 'self' data:"
    )
    broken: list[str] = []
    tab.on(
        "console",
        lambda message: (
            broken.append(message.text) if "Content Security Policy" in message.text else None
        ),
    )

    def strictly(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(
            response=answer, headers={**answer.headers, "content-security-policy": policy}
        )

    tab.route("**/", strictly)
    for view in VIEWS:
        used(tab, view)
    assert broken == []
    tab.evaluate(
        "const script = document.createElement('script');"
        "script.textContent = 'window.hurt = 1'; document.head.append(script)"
    )
    assert tab.evaluate("window.hurt === undefined"), "the policy was not in force"
