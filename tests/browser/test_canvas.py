from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect


def run(tab: Page, prompt: str = "calc 17+25-03") -> None:
    """A run in real time, waited for to its end."""
    tab.goto("/#/canvas")
    run_in_place(tab, prompt)


def run_in_place(tab: Page, prompt: str) -> None:
    tab.get_by_role("button", name="real time").click()
    tab.locator("#prompt").fill(prompt)
    tab.get_by_role("button", name="Run", exact=True).click()
    expect(tab.get_by_role("button", name="Run", exact=True)).to_be_visible()
    expect(tab.get_by_role("button", name="Play", exact=True)).to_be_enabled()


def cells(tab: Page) -> list[str]:
    return tab.locator(".cell").all_text_contents()


def test_a_canvas_settles_beside_the_typewriter(tab: Page) -> None:
    run(tab)
    expect(tab.get_by_test_id("written")).to_have_text("39;17+25=42;42-03=39")
    expect(tab.get_by_test_id("typed")).to_contain_text("17+25")
    assert "".join(cells(tab)) == "39;17+25=42;42-03=39∎"
    assert len(cells(tab)) == 84


def test_the_scrubber_goes_back_to_the_first_draft_and_on_again(tab: Page) -> None:
    run(tab, "calc 88+07+01-85-00-04")
    last = cells(tab)
    scrubber = tab.get_by_label("Denoising step")
    scrubber.focus()
    tab.keyboard.press("Home")
    expect(scrubber).to_have_attribute("aria-valuetext", "step 1")
    assert cells(tab) != last
    tab.keyboard.press("ArrowRight")
    expect(scrubber).to_have_attribute("aria-valuetext", "step 2")
    tab.keyboard.press("End")
    assert cells(tab) == last


def test_a_long_text_has_a_button_for_every_canvas(tab: Page, tmp_path: Path) -> None:
    trace = synthetic(32, 9, 10)
    for number, draft in enumerate(trace["drafts"]):
        draft |= {"canvas": number // 3, "step": number % 3 + 1}
    trace["diffusion"]["events"] = [
        {"at": 30 * (canvas + 1), "text": f"text {canvas + 1}, "} for canvas in range(3)
    ]
    (file := tmp_path / "three.json").write_text(json.dumps(trace))
    tab.goto("/#/canvas")
    tab.locator("input[type=file]").set_input_files(file)
    canvases = tab.get_by_role("group", name="Canvas", exact=True).get_by_role("button")
    expect(canvases).to_have_text(["1", "2", "3"])
    canvases.nth(1).click()
    expect(tab.get_by_label("Denoising step")).to_have_attribute(
        "aria-valuetext", "step 3 of canvas 2"
    )
    expect(canvases.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(tab.get_by_test_id("written")).to_have_text("text 1, draft 5")


def test_settings_that_were_not_touched_are_not_sent(tab: Page) -> None:
    bodies: list[Any] = []
    tab.on(
        "request",
        lambda request: bodies.append(request.post_data_json) if "chat" in request.url else None,
    )
    tab.goto("/#/canvas")
    tab.get_by_text("Sampler").click()
    for name in ("Stability threshold", "Temperature"):
        group = tab.get_by_role("group", name=f"{name}: default or set")
        group.get_by_text("set", exact=True).click()
    tab.get_by_role("slider", name="Maximum steps").fill("2")
    run_in_place(tab, "calc 88+07+01-85-00-04")
    assert {body["max_denoising_steps"] for body in bodies} == {2}
    # "set" begins with the model's own value.
    assert all("entropy_bound" not in body and body["stability_threshold"] == 1 for body in bodies)
    expect(tab.get_by_label("Denoising step")).to_have_attribute("max", "1")


def test_a_position_tells_its_history(tab: Page) -> None:
    run(tab, "calc 88+07+01-85-00-04")
    tab.locator(".cell").nth(1).hover()
    history = tab.get_by_label("History of a position")
    expect(history.get_by_role("heading")).to_have_text("Position 2")
    drafts = history.locator("li code").all_text_contents()
    assert len(drafts) == int(tab.get_by_label("Denoising step").get_attribute("max") or 0) + 1
    tab.locator(".cells").focus()
    tab.keyboard.press("ArrowRight")
    expect(history.get_by_role("heading")).to_have_text("Position 3")


def test_nothing_moves_while_a_canvas_settles(tab: Page) -> None:
    tab.goto("/#/canvas")
    tab.locator("#prompt").wait_for()
    tab.evaluate(
        "window.shift = 0;"
        "new PerformanceObserver((seen) => {"
        "  for (const one of seen.getEntries()) window.shift += one.value;"
        "}).observe({ type: 'layout-shift', buffered: false })"
    )
    run(tab)
    assert tab.evaluate("window.shift") < 0.02


def test_a_run_is_saved_and_opened_again(tab: Page, tmp_path: Path) -> None:
    run(tab)
    kept = cells(tab)
    with tab.expect_download() as saving:
        tab.get_by_role("button", name="Save run").click()
    file = tmp_path / saving.value.suggested_filename
    saving.value.save_as(file)
    trace = json.loads(file.read_text())
    assert trace["format"] == "redraft-trace"
    assert trace["drafts"]
    tab.reload()
    tab.locator("input[type=file]").set_input_files(file)
    expect(tab.locator("#prompt")).to_have_value("calc 17+25-03")
    expect(tab.get_by_text("A recorded run")).to_be_hidden()
    tab.get_by_label("Denoising step").focus()
    tab.keyboard.press("End")
    assert cells(tab) == kept


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("no json", "is not JSON"),
        ("{}", "not a run saved by redraft"),
        ('{"format": "redraft-trace", "version": 2}', "version 2"),
    ],
)
def test_a_wrong_file_is_refused_in_words(
    tab: Page, tmp_path: Path, content: str, word: str
) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(content)
    tab.goto("/#/canvas")
    tab.locator("input[type=file]").set_input_files(file)
    expect(tab.get_by_role("alert")).to_contain_text(word)


def test_a_refusal_of_the_server_is_shown_as_it_words_it(tab: Page) -> None:
    tab.goto("/#/canvas")
    message = "the prompt is too long by 7 tokens"
    error = {"error": {"message": message, "type": "invalid_request_error"}}
    tab.route("**/v1/chat/completions", lambda route: route.fulfill(status=400, json=error))
    tab.locator("#prompt").fill("calc 1+1")
    tab.get_by_role("button", name="Run", exact=True).click()
    expect(tab.get_by_role("alert").first).to_contain_text(message)


def test_turns_are_remembered_where_that_is_wanted(tab: Page) -> None:
    bodies: list[Any] = []
    tab.on(
        "request",
        lambda request: bodies.append(request.post_data_json) if "chat" in request.url else None,
    )
    tab.goto("/#/canvas")
    tab.get_by_label("Remember turns").check()
    run_again = tab.get_by_role("button", name="Run", exact=True)
    for prompt in ("calc 17+25-03", "calc 11+11-02"):
        tab.locator("#prompt").fill(prompt)
        run_again.click()
        expect(tab.locator("#prompt")).to_have_value("")
    assert [message["role"] for message in bodies[-1]["messages"]] == ["user", "assistant", "user"]
    expect(tab.get_by_role("log")).to_contain_text("39;17+25=42;42-03=39")


def synthetic(positions: int, drafts: int, apart: float) -> dict[str, Any]:
    """A run in which at every draft every cell has another text and another confidence."""
    made = [
        {
            "at": number * apart, "canvas": 0, "step": number + 1, "text": f"draft {number}",
            "entropy": 3 - 3 * number / drafts,
            "changed": [[at, f"w{(at * 7 + number * 13) % 997}"] for at in range(positions)],
            "accepted": list(range(number % 2, positions, 2)),
            "revised": list(range(number % 3, positions, 3)),
            "confidence": [(at * 3 + number * 11) % 101 for at in range(positions)],
        }
        for number in range(drafts)
    ]  # fmt: skip
    lane: dict[str, Any] = {"events": [], "usage": None, "ended": drafts * apart}
    return {
        "format": "redraft-trace", "version": 1, "created": "2026-01-01T00:00:00Z",
        "model": "small", "prompt": "p", "mode": "chat", "settings": {},
        "drafts": made, "diffusion": lane, "typewriter": None,
    }  # fmt: skip


def open_trace(tab: Page, file: Path, trace: dict[str, Any]) -> None:
    """Open a run from a file; its cells are there when this returns."""
    file.write_text(json.dumps(trace))
    tab.goto("/#/canvas")
    tab.get_by_role("button", name="real time").click()
    tab.locator("input[type=file]").set_input_files(file)
    last = len(trace["drafts"][0]["confidence"]) - 1
    tab.locator(f"#cell-{last}").wait_for(state="attached")


def test_a_run_of_256_cells_keeps_its_time_however_slow_the_screen(
    tab: Page, tmp_path: Path
) -> None:
    open_trace(tab, tmp_path / "long.json", synthetic(256, 150, 1000 / 30))
    drafts = tab.evaluate(
        """() => new Promise((resolve) => {
          const scrubber = document.querySelector("[aria-label='Denoising step']");
          const from = Number(scrubber.value);
          const first = performance.now();
          const tick = (now) => {
            const seconds = (now - first) / 1000;
            if (seconds < 3) requestAnimationFrame(tick);
            else resolve((Number(scrubber.value) - from) / seconds);
          };
          requestAnimationFrame(tick);
        })"""
    )
    assert 27 < drafts < 33


def test_a_draft_touches_only_the_cells_that_changed(tab: Page, tmp_path: Path) -> None:
    trace = synthetic(256, 3, 1000)
    still = {key: trace["drafts"][0][key] for key in ("accepted", "revised", "confidence")}
    trace["drafts"][1] |= still | {"changed": [[7, "seven"]]}
    trace["drafts"][2] |= still | {"changed": []}
    trace["drafts"][2]["confidence"] = [100, *still["confidence"][1:255], 0]
    open_trace(tab, tmp_path / "still.json", trace)
    tab.get_by_label("Denoising step").focus()
    tab.keyboard.press("Home")
    expect(tab.get_by_label("Denoising step")).to_have_attribute("aria-valuetext", "step 1")
    tab.evaluate(
        """() => {
          const cell = (node) => (node.nodeType === Node.TEXT_NODE ? node.parentElement : node);
          window.touched = new Set();
          new MutationObserver((changes) => {
            for (const change of changes) window.touched.add(cell(change.target).id);
          }).observe(document.querySelector(".cells"), {
            subtree: true, childList: true, characterData: true, attributes: true,
          });
        }"""
    )
    for step, cells_touched in ((2, ["cell-7"]), (3, ["cell-0", "cell-255"])):
        tab.evaluate("window.touched.clear()")
        tab.keyboard.press("ArrowRight")
        expect(tab.get_by_label("Denoising step")).to_have_attribute(
            "aria-valuetext", f"step {step}"
        )
        assert sorted(tab.evaluate("[...window.touched]")) == cells_touched


def test_holes_of_a_template_are_filled(tab: Page) -> None:
    tab.goto("/#/canvas")
    tab.get_by_label("Model").select_option("small-text")
    tab.get_by_role("button", name="Infill").click()
    tab.get_by_role("button", name="Fill", exact=True).click()
    expect(tab.get_by_test_id("filled")).to_contain_text("acc = 0")
    expect(tab.locator(".candidates .best")).to_contain_text("acc = 0")
