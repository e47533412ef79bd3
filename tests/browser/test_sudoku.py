from __future__ import annotations

import random
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from redraft.tasks.sudoku import solves
from redraft.tasks.sudoku_picture import Hardness, draw
from tests.test_sight import FONTS

EASY = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"


def grid(tab: Page) -> str:
    return tab.get_by_role("grid", name="Diffusion: Sudoku grid").get_attribute("data-grid") or ""


def test_a_pasted_puzzle_is_solved_in_a_few_passes(tab: Page) -> None:
    tab.goto("/#/sudoku")
    tab.get_by_label("A puzzle as 81 characters").fill(EASY)
    tab.get_by_role("button", name="Load").click()
    tab.get_by_role("button", name="Solve").click()
    expect(tab.get_by_label("Diffusion", exact=True).get_by_role("status")).to_have_text("Solved")
    assert solves(EASY, grid(tab))
    # It writes a digit a pass and waits after each: it takes four times as long.
    expect(tab.get_by_label("Typewriter", exact=True).get_by_role("status")).to_have_text(
        re.compile("olved"), timeout=120_000
    )


def test_a_new_puzzle_has_as_many_blanks_as_wanted(tab: Page) -> None:
    tab.goto("/#/sudoku")
    tab.get_by_label("Difficulty").select_option("51")
    with tab.expect_response("**/play/sudoku"):
        tab.get_by_role("button", name="New puzzle").click()
    expect(tab.get_by_role("grid", name="Diffusion: Sudoku grid")).not_to_have_attribute(
        "data-grid", EASY.replace("0", ".")
    )
    assert 49 <= grid(tab).count(".") <= 53


def test_digits_are_typed_and_conflicts_are_marked(tab: Page) -> None:
    tab.goto("/#/sudoku")
    tab.get_by_role("button", name="Clear").click()
    tab.locator("[data-cell='0']").first.click()
    tab.keyboard.press("5")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("5")
    assert grid(tab).startswith("5.5")
    expect(tab.locator(".boards > :first-child .sq.wrong")).to_have_count(2)
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("Delete")
    expect(tab.locator(".boards > :first-child .sq.wrong")).to_have_count(0)
    tab.get_by_role("button", name="Solve").wait_for()


def test_what_is_no_puzzle_is_refused_in_words(tab: Page) -> None:
    tab.goto("/#/sudoku")
    tab.get_by_label("A puzzle as 81 characters").fill("123")
    tab.get_by_role("button", name="Load").click()
    expect(tab.get_by_role("alert")).to_contain_text("81 cells are needed")


def test_a_picture_is_read_into_the_board(tab: Page, tmp_path: Path) -> None:
    path = tmp_path / "grid.png"
    draw(EASY, random.Random(1), FONTS, Hardness(turn=1, bend=0, blur=0.3, noise=4)).save(path)
    tab.goto("/#/sudoku")
    tab.get_by_role("button", name="Clear").click()
    tab.get_by_label("Read a picture").set_input_files(path)
    expect(tab.get_by_role("grid", name="Diffusion: Sudoku grid")).to_have_attribute(
        "data-grid", EASY.replace("0", ".")
    )
    tab.get_by_label("Read a picture").set_input_files(
        {"name": "note.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    expect(tab.get_by_role("alert")).to_contain_text("cannot be read as a picture")
