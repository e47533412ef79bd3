from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redraft.errors import ConfigError
from redraft.tasks.sums import (
    FRAMES,
    HELD_OUT_FRAMES,
    HELD_OUT_PAIRS,
    MAX_VALUE,
    PAIRS,
    Sums,
    value_of,
    worked,
    written,
)
from redraft.tasks.sums import _node as node_of


def plain(text: str) -> str:
    """A written sum in Python's signs."""
    words = {"plus": "+", "minus": "-", "times": "*", "divided by": "/"}
    glyphs = {"\u2212": "-", "x": "*", "\u00d7": "*", "\u00f7": "/", ":": "/"}
    for old, new in (words | glyphs).items():
        text = text.replace(old, new)
    return re.sub(r"\b0+(?=\d)", "", text)


@given(st.integers(1, 6), st.integers(0, 100_000))
@settings(max_examples=300, deadline=None)
def test_a_written_sum_has_the_value_of_its_steps(count: int, seed: int) -> None:
    rng = random.Random(seed)
    node = node_of(count, rng)
    if node is None:
        return
    steps = worked(node)
    assert len(steps) == count
    assert value_of(plain(written(node, rng))) == node.value == steps[-1][-1]
    for one, sign, two, result in steps:
        assert value_of(f"({one}){sign}({two})" if one >= 0 <= two else "0") == result
        assert 0 <= one <= MAX_VALUE
        assert 0 <= two <= MAX_VALUE
    assert all(result >= 0 for *_, result in steps[:-1])


@given(st.integers(0, 100_000))
@settings(max_examples=200, deadline=None)
def test_an_answer_is_the_result_and_the_steps(seed: int) -> None:
    example = Sums().draw(random.Random(seed))
    result, *steps = example.answer.split(";")
    assert len(steps) == example.difficulty
    assert steps[-1].endswith(f"={result}")
    assert Sums().check(example, f" {result};nothing")
    assert not Sums().check(example, f"{int(result) + 1};")


def test_every_form_occurs_and_the_held_out_ones_do_not() -> None:
    def said(task: Sums) -> str:
        rng = random.Random(1)
        return "\n".join(task.draw(rng).prompt for _ in range(4000)).lower()

    def words(frames: tuple[str, ...]) -> set[str]:
        return {re.sub(r"\{\d?\}", "", frame).strip(" ?=.") for frame in frames} - {"", "and"}

    seen, held = said(Sums()), said(Sums(phrasing="held-out"))
    for frame in words(FRAMES):
        assert frame in seen
    only = {"work out", "evaluate", "equals", "tell me", "i need", "solve", "total", "product",
            "difference", "added", " less ", " over "}  # fmt: skip
    for word in only:
        assert word in held
        assert word not in seen
    for sign in PAIRS:
        assert not set(PAIRS[sign]) & set(HELD_OUT_PAIRS[sign])
    assert not set(FRAMES) & set(HELD_OUT_FRAMES)
    for style in ("(", " + ", "\u00d7", "plus", "calc "):
        assert style in seen


def test_precedence_is_the_usual_one() -> None:
    rng = random.Random(5)
    prompts = [Sums(2, 3).draw(rng) for _ in range(2000)]
    found = next(one for one in prompts if re.fullmatch(r"\d+\+\d+\*\d+", one.prompt))
    left, product = found.prompt.split("+")
    one, two = map(int, product.split("*"))
    assert int(found.answer.split(";")[0]) == int(left) + one * two
    assert found.answer.split(";")[1].startswith(f"{one}*{two}=")


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigError):
        Sums(3, 2)
    with pytest.raises(ConfigError, match="phrasing"):
        Sums(phrasing="other")
