from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, Route, expect

HOSTILE = [
    "<h1>x</h1><p><script>parent.hurt = 1</script>end</p>",
    "<h1>x</h1><p><img src=x onerror='parent.hurt = 1'>end</p>",
    "<h1>x</h1><p><a href='javascript:parent.hurt=1' onclick='parent.hurt=1'>end</a></p>",
    "<h1>x</h1><svg onload='parent.hurt=1'><a xlink:href='javascript:parent.hurt=1'>end</a></svg>"
    "<p>end</p>",
    "<h1>x</h1><iframe srcdoc='<script>top.hurt=1</script>'></iframe><p>end</p>",
    "<h1>x</h1><math><mtext><table><mglyph><style><img src=x onerror=parent.hurt=1></style></table>"
    "</mtext></math><p>end</p>",
    "<h1>x</h1><form action='javascript:parent.hurt=1'><button>end</button></form><p>end</p>",
    "<h1>x</h1><meta http-equiv=refresh content='0;url=javascript:parent.hurt=1'>"
    "<base href='//elsewhere.example/'><p>end</p>",
]


def frame(tab: Page):  # type: ignore[no-untyped-def]
    return tab.frame_locator("iframe")


def test_a_page_is_written_and_its_links_lead_on(tab: Page) -> None:
    tab.goto("/#/wiki")
    tab.get_by_label("Title").fill("Cordunia")
    tab.get_by_role("button", name="Open").click()
    expect(frame(tab).locator("h1")).to_have_text("Cordunia")
    expect(tab.get_by_label("Saved pages")).to_contain_text("Cordunia (full)")
    frame(tab).get_by_text("Yarbraby").click()
    expect(frame(tab).locator("h1")).to_have_text("Yarbraby")
    assert tab.url.endswith("#/wiki/Yarbraby%20(full)")


def test_back_shows_the_page_at_once_and_asks_no_model(tab: Page) -> None:
    tab.goto("/#/wiki/Cordunia%20(full)")
    expect(tab.get_by_label("Saved pages")).to_contain_text("Cordunia (full)")
    frame(tab).get_by_text("Yarbraby").press("Enter")
    expect(frame(tab).locator("h1")).to_have_text("Yarbraby")
    expect(tab.get_by_label("Saved pages")).to_contain_text("Yarbraby (full)")
    posted: list[str] = []
    tab.on(
        "request", lambda request: posted.append(request.url) if request.method == "POST" else None
    )
    tab.go_back()
    expect(frame(tab).locator("h1")).to_have_text("Cordunia")
    tab.reload()
    expect(frame(tab).locator("h1")).to_have_text("Cordunia")
    assert posted == []


def test_a_page_is_legible_also_in_another_theme_than_the_systems(tab: Page) -> None:
    tab.goto("/#/wiki/Cordunia%20(full)")
    expect(frame(tab).locator("h1")).to_have_text("Cordunia")
    tab.get_by_role("button", name="Dark theme").click()
    expect(frame(tab).locator("html")).to_have_css("color-scheme", "dark")
    assert (
        frame(tab).locator("body").evaluate("(body) => getComputedStyle(body).color")
        == "rgb(228, 235, 232)"
    )


def answering(text: str):  # type: ignore[no-untyped-def]
    """A model that writes just this, in one draft."""

    def answer(route: Route) -> None:
        draft = {
            "index": 0, "canvas": 0, "step": 1, "changed": [[0, "x"]], "text": text,
            "accepted": [], "revised": [], "confidence": [50], "entropy": 1.0,
        }  # fmt: skip
        chunks = [
            {"choices": [], "draft": draft},
            {"choices": [{"index": 0, "delta": {"content": text}}]},
        ]
        body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        route.fulfill(status=200, content_type="text/event-stream", body=body)

    return answer


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_hostile_model_writes_cannot_run(tab: Page, text: str) -> None:
    tab.route("**/v1/chat/completions", answering(text))
    tab.goto(f"/#/wiki/hostile {HOSTILE.index(text)}")
    expect(frame(tab).locator("body")).to_contain_text(re.compile("end"))
    for link in frame(tab).locator("a").all():
        link.click()
    tab.wait_for_timeout(400)
    assert tab.evaluate("window.hurt === undefined")
    inside = frame(tab).locator("body").evaluate("(body) => body.innerHTML")
    assert not re.search(r"script|onerror|onclick|onload|href|src|<form|<meta|<svg|<iframe", inside)


def test_the_frame_runs_no_script_even_where_one_got_in(tab: Page) -> None:
    """The sandbox holds by itself, were the sieve to fail."""
    tab.goto("/#/wiki/Cordunia%20(full)")
    expect(frame(tab).locator("h1")).to_have_text("Cordunia")
    tab.evaluate(
        """() => {
          const page = document.querySelector("iframe").contentDocument;
          const script = page.createElement("script");
          script.textContent = "parent.hurt = 1";
          page.body.append(script);
          page.body.insertAdjacentHTML("beforeend", "<img src=x onerror='parent.hurt=1'>");
        }"""
    )
    tab.wait_for_timeout(400)
    assert tab.evaluate("window.hurt === undefined")
