"""Results as notebooks show them: escaped, whole, and with nothing from elsewhere."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import redraft
from redraft.notebook import MAX_STEPS, MAX_TOKENS, canvas_html, drawn_steps, state_of

HISTORIES = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), max_size=12)


class Reader(HTMLParser):
    """Reads the text of each step, and checks that elements are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.steps: dict[str, str] = {}
        self.shown: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = dict(attrs)
        if tag != "input":
            self.open.append((tag, found))
        if (step := found.get("data-step")) is not None:
            self.steps[step] = ""
            if "hidden" not in found:
                self.shown.append(step)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        steps = [found["data-step"] for _, found in self.open if "data-step" in found]
        if steps and self.open[-1][0] == "span":
            self.steps[str(steps[0])] += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


@given(HISTORIES)
def test_each_step_shows_what_each_position_held(history: list[list[int]]) -> None:
    words = [f"<{number}&\"'" for number in range(10)]
    found = read(canvas_html(history, words.__getitem__, "a <title>"))
    count = max((len(held) for held in history), default=0)
    expected = {
        str(step): "".join(words[held[min(step, len(held) - 1)]] for held in history)
        for step in range(count)
    }
    assert found.steps == expected
    assert found.shown == ([str(count - 1)] if count else [])
    assert found.tags <= {"div", "span", "label", "input"}


@given(st.lists(st.integers(0, 2), min_size=1, max_size=6), st.integers(0, 7))
def test_a_token_is_settled_where_it_stays_and_did_not_just_come(
    held: list[int], step: int
) -> None:
    now = held[min(step, len(held) - 1)]
    came = 0 < step < len(held) and held[step - 1] != now
    stays = set(held[step:]) <= {held[-1]}
    assert state_of(held, step) == ("revised" if came else "settled" if stays else "unsettled")


def test_a_long_canvas_is_drawn_in_part() -> None:
    history = [list(range(500))] * (MAX_TOKENS + 7)
    html = canvas_html(history, str, "long")
    assert len(read(html).steps) == MAX_STEPS
    assert "and 7 more tokens" in html
    assert (drawn_steps(500)[0], drawn_steps(500)[-1]) == (0, 499)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> redraft.Model:
    return redraft.load(checkpoint)


def test_a_result_shows_its_canvas(model: redraft.Model) -> None:
    assert model.tokenizer is not None
    finished = model.generate("hello", seed=1, max_new_tokens=20)
    infilled = model.infill("a <hole> b", seed=1)
    for one in (finished, infilled):
        found = read(one._repr_html_())
        last = [model.tokenizer.decode([held[-1]], special=True) for held in one.history]
        assert found.steps[found.shown[0]] == "".join(last).replace("\n", "⏎\n")
        assert escape(repr(one)) in one._repr_html_()
        assert not re.search(r"https?:|<script|src=", unescape(one._repr_html_()))


def test_a_result_is_compared_copied_and_kept_as_before(model: redraft.Model) -> None:
    finished = model.generate("hello", seed=1, max_new_tokens=20)
    for other in (pickle.loads(pickle.dumps(finished)), copy.deepcopy(finished)):
        assert other == finished
        assert "<span" in other._repr_html_()
    assert "_spell" not in dataclasses.asdict(finished)
