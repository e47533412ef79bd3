"""What a person sees at a prompt: a few lines for each object, and the names that are meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import redraft
from redraft.short_repr import short

SHAPES = st.recursive(
    st.none() | st.integers() | st.booleans() | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=20) | st.lists(inner, max_size=20).map(tuple),
    max_leaves=40,
)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> redraft.Model:
    return redraft.load(checkpoint)


def test_an_object_fits_into_three_lines(model: redraft.Model) -> None:
    quick = {"seed": 1, "max_denoising_steps": 2}
    finished = model.generate("hello", max_new_tokens=200, **quick)
    infilled = model.infill("a <hole> b" * 3, max_candidates=1, **quick)
    draft = next(iter(model.stream("hello", **quick)))
    session = model.edit("word " * 500)
    for one in (model, finished, infilled, draft, session, model.repair("abc", **quick)):
        assert len(repr(one)) < 600, repr(one)
        assert "\n" not in repr(one)
    assert repr(model).startswith("<redraft Model tiny: 4 layers of 32, 8 experts, canvas 16")
    assert f"{len(finished.tokens)} in all" in repr(finished)
    assert f"text={short(finished.text)}" in repr(finished)
    assert "2500 characters" in repr(session)


def test_what_is_short_is_shown_whole() -> None:
    for value in ((), (1,), (1, 2), [], [1], "a'b", None, (("x",), True), 3):
        assert short(value) == repr(value)
    assert short((0.123456, 1.0)) == "(0.1235, 1)"


@given(SHAPES)
def test_anything_gets_a_short_repr(value: object) -> None:
    assert len(short(value)) <= max(len(repr(value)) + 40, 60)


def test_the_package_shows_the_names_that_are_meant() -> None:
    shown = {name for name in dir(redraft) if not name.startswith("_")}
    assert set(redraft.__all__) <= shown
    assert not {"Any", "TYPE_CHECKING", "annotations", "import_module"} & shown
    assert all(getattr(redraft, name) is not None for name in shown)
