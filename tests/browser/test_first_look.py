"""What somebody sees who opens the page for the first time, and what stays when they come back."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_canvas import cells, run, run_in_place


def test_the_page_opens_with_a_recorded_run_the_noise_first(tab: Page) -> None:
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto("/")
    seen = tab.get_by_test_id("seen")
    expect(seen).to_contain_text("96 random tokens")
    expect(tab.get_by_test_id("recorded")).to_contain_text("A recorded run of small-text")
    noise = cells(tab)
    expect(seen).to_contain_text("The text has settled")
    assert cells(tab) != noise
    expect(tab.get_by_test_id("written")).to_contain_text("Cordunia is a region")
    assert not [url for url in asked if "completions" in url]


def test_a_finished_run_is_marked_right_or_wrong_for_both(tab: Page) -> None:
    run(tab)
    badges = tab.locator(".badge")
    expect(badges).to_have_count(2)
    expect(badges.first).to_have_text("✓ right")
    expect(badges.last).to_have_text("✓ right")
    expect(tab.get_by_test_id("recorded")).to_have_count(0)


@pytest.mark.long
def test_a_prompt_without_a_checker_has_no_badge(tab: Page) -> None:
    run(tab, "calc 1")
    expect(tab.locator(".badge").first).to_have_text("")


@pytest.mark.long
def test_the_prompt_stays_over_a_reload(tab: Page) -> None:
    tab.goto("/")
    tab.locator("#prompt").fill("calc 88+07+01")
    tab.reload()
    expect(tab.locator("#prompt")).to_have_value("calc 88+07+01")


@pytest.mark.long
def test_a_run_comes_back_from_the_list_and_runs_again_with_another_seed(tab: Page) -> None:
    bodies: list[dict] = []
    tab.on(
        "request",
        lambda request: bodies.append(request.post_data_json) if "chat" in request.url else None,
    )
    run(tab, "calc 17+25-03")
    run_in_place(tab, "calc 88+07+01-85-00-04")
    tab.get_by_text("Runs of this visit · 2").click()
    tab.get_by_role("button", name="calc 17+25-03").last.click()
    expect(tab.locator("#prompt")).to_have_value("calc 17+25-03")
    expect(tab.get_by_test_id("written")).to_contain_text("39;")
    tab.get_by_role("button", name="Again, with another seed").click()
    tab.get_by_text("Runs of this visit · 3").wait_for()
    assert [body["seed"] for body in bodies][-2:] == [2, 2]


@pytest.mark.long
def test_values_of_sliders_are_always_there(tab: Page) -> None:
    tab.goto("/")
    tab.get_by_text("Sampler").click()
    output = tab.locator("output[for=entropy_bound]")
    expect(output).to_have_text("0.1")
    group = tab.get_by_role("group", name="Entropy bound: default or set")
    group.get_by_role("button", name="set", exact=True).click()
    tab.locator("#entropy_bound").fill("0.5")
    expect(output).to_have_text("0.5")


@pytest.mark.long
def test_an_error_goes_when_something_else_begins(tab: Page) -> None:
    tab.goto("/#/sudoku")
    tab.get_by_placeholder("Paste 81 characters").fill("12")
    tab.get_by_role("button", name="Load").click()
    expect(tab.get_by_role("alert")).to_be_visible()
    tab.get_by_role("link", name="Wiki").click()
    expect(tab.get_by_role("alert")).to_have_count(0)


@pytest.mark.long
@pytest.mark.parametrize(
    ("view", "words"),
    [
        ("canvas", "small knows arithmetic and sudoku alone"),
        ("sudoku", "small can solve a Sudoku"),
        ("wiki", "small-text can write a page"),
        ("voice", "small-text can change a to-do page"),
        ("editor", "small-text can fill a hole"),
    ],
)
def test_each_view_says_what_its_model_knows(tab: Page, view: str, words: str) -> None:
    tab.goto(f"/#/{view}")
    expect(tab.get_by_test_id("model-note")).to_contain_text(words)


@pytest.mark.long
def test_greedy_is_the_likeliest_token_each_time(tab: Page) -> None:
    bodies: list[dict] = []
    tab.on(
        "request",
        lambda request: bodies.append(request.post_data_json) if "chat" in request.url else None,
    )
    tab.goto("/")
    tab.get_by_text("Sampler").click()
    tab.get_by_label("Greedy typewriter").check()
    run_in_place(tab, "calc 17+25-03")
    greedy = [body for body in bodies if body.get("temperature") == 0]
    assert [body["method"] for body in greedy] == ["autoregressive"]
