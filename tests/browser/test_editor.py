from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import LiveServer


def text(tab: Page) -> str:
    return "\n".join(tab.locator(".cm-line").all_inner_texts())


def opened(tab: Page) -> None:
    tab.goto("/#/editor")
    tab.locator(".cm-content").wait_for()


def drafted(tab: Page) -> None:
    tab.get_by_role("button", name="Fill", exact=True).last.click()
    expect(tab.get_by_role("button", name="Accept")).to_be_visible()


def test_a_line_is_filled_in_and_accepted(tab: Page) -> None:
    opened(tab)
    assert "..." in text(tab)
    drafted(tab)
    expect(tab.get_by_label("Change", exact=True)).to_contain_text("+        amount +=")
    tab.locator(".cm-content").focus()
    tab.keyboard.press("Tab")
    expect(tab.locator(".ghost")).to_have_count(0)
    expect(tab.locator(".cm-content")).to_contain_text("amount += each.")
    assert "..." not in text(tab)


def test_a_rejected_draft_leaves_the_text_as_it_was(tab: Page) -> None:
    opened(tab)
    before = text(tab)
    drafted(tab)
    tab.locator(".cm-content").focus()
    tab.keyboard.press("Escape")
    expect(tab.locator(".ghost")).to_have_count(0)
    assert text(tab) == before


def test_a_line_is_rewritten_by_an_instruction(tab: Page) -> None:
    opened(tab)
    tab.get_by_role("button", name="Rewrite", exact=True).click()
    tab.locator(".cm-line").nth(1).click()
    tab.get_by_role("button", name="start at 31").click()
    tab.get_by_role("button", name="Rewrite", exact=True).last.click()
    tab.get_by_role("button", name="Accept").click()
    expect(tab.locator(".cm-line").nth(1)).to_have_text("    amount = 31")


def test_an_edit_is_undone_and_made_again_also_after_a_reload(tab: Page) -> None:
    opened(tab)
    drafted(tab)
    tab.get_by_role("button", name="Accept").click()
    undo, redo = tab.get_by_role("button", name="Undo"), tab.get_by_role("button", name="Redo")
    expect(undo).to_be_enabled()
    after = text(tab)
    tab.reload()
    tab.locator(".cm-content").wait_for()
    assert text(tab) == after
    tab.locator(".cm-content").focus()
    tab.keyboard.press("Control+z")
    expect(tab.locator(".cm-content")).to_contain_text("...")
    redo.click()
    expect(tab.locator(".cm-content")).not_to_contain_text("...")
    assert text(tab) == after


def test_what_was_typed_is_there_after_a_reload(tab: Page) -> None:
    opened(tab)
    tab.locator(".cm-line").first.click()
    tab.keyboard.press("Home")
    with tab.expect_response(lambda response: response.url.endswith("/edits")):
        tab.keyboard.type("# naïve 🙂 ")
    tab.reload()
    expect(tab.locator(".cm-line").first).to_contain_text("# naïve 🙂 def total_cost")


def test_typing_lets_go_of_a_draft(tab: Page) -> None:
    opened(tab)
    drafted(tab)
    tab.locator(".cm-line").first.click()
    tab.keyboard.press("Home")
    tab.keyboard.type("# mine ")
    expect(tab.locator(".ghost")).to_have_count(0)
    expect(tab.locator(".cm-content")).to_contain_text("# mine def total_cost")
    expect(tab.locator(".cm-content")).to_contain_text("...")
    expect(tab.get_by_role("button", name="Fill", exact=True).last).to_be_visible()


def test_words_that_were_not_sent_before_the_page_was_left_are_kept(tab: Page) -> None:
    opened(tab)
    tab.locator(".cm-line").first.click()
    tab.keyboard.press("Home")
    tab.keyboard.type("# late ")
    tab.reload()
    expect(tab.locator(".cm-line").first).to_contain_text("# late def total_cost")


def test_a_server_that_forgot_the_text_is_given_it_again(tab: Page) -> None:
    opened(tab)
    tab.locator(".cm-line").first.click()
    tab.keyboard.press("Home")
    with tab.expect_response(lambda response: response.url.endswith("/edits")):
        tab.keyboard.type("# kept ")
    tab.evaluate(
        "fetch('/v1/sessions/' + localStorage.getItem('redraft.editor'), { method: 'DELETE' })"
    )
    tab.wait_for_timeout(200)
    tab.reload()
    expect(tab.locator(".cm-line").first).to_contain_text("# kept def total_cost")


def test_the_text_and_its_undo_outlive_a_restart_of_the_server(
    chrome: Browser, models: dict[str, Any], tmp_path: Path
) -> None:
    server = LiveServer(models, tmp_path / "kept.db")
    context = chrome.new_context(base_url=server.address)
    tab = context.new_page()
    opened(tab)
    drafted(tab)
    with tab.expect_response(lambda response: response.url.endswith("/edits")):
        tab.get_by_role("button", name="Accept").click()
    server.close()
    again = LiveServer(models, tmp_path / "kept.db", server.port)
    tab.reload()
    expect(tab.locator(".cm-content")).to_contain_text("amount += each.")
    tab.get_by_role("button", name="Undo").click()
    expect(tab.locator(".cm-content")).to_contain_text("...")
    context.close()
    again.close()
