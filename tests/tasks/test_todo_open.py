from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redraft.errors import ConfigError
from redraft.tasks.open_words import item, mistyped, new_word
from redraft.tasks.todo import ToDoPage
from redraft.tasks.todo_open import HELD_OUT, TRAINING, OpenToDo

PHRASINGS = ("training", "held-out")


def read(html: str) -> ToDoPage:
    """A page back from its HTML."""
    match = re.fullmatch(r'<body class="(\w+)"><h1>(\w+)</h1><ul>(.*)</ul></body>', html)
    assert match
    items = re.findall(r"<li>\[( |x)\] ([^<]+)</li>", match[3])
    return ToDoPage(match[2], match[1], tuple((text, mark == "x") for mark, text in items))


@given(st.sampled_from(PHRASINGS), st.integers(0, 100_000))
@settings(max_examples=400, deadline=None)
def test_an_edit_changes_one_thing_that_the_instruction_tells(phrasing: str, seed: int) -> None:
    example = OpenToDo(phrasing).draw(random.Random(seed))
    html, _, said = example.prompt.removeprefix("edit ").partition("\n")
    before, after = read(html), read(example.answer)
    assert before.html() == html
    assert after.html() == example.answer
    assert "\n" not in said
    names = ("title", "colour", "items")
    changed = [name for name in names if getattr(before, name) != getattr(after, name)]
    assert len(changed) <= 1
    new = set(after.items) - set(before.items)
    gone = set(before.items) - set(after.items)
    assert len(new) <= 1
    assert len(gone) <= 1
    fresh = {text for text, _ in new} - {text for text, _ in gone}
    # What comes new stands in the instruction to the letter.
    assert all(text in said for text in fresh)
    assert changed != ["title"] or after.title in said
    assert changed != ["colour"] or after.colour in said


@given(st.sampled_from(PHRASINGS), st.integers(0, 100_000))
@settings(max_examples=400, deadline=None)
def test_the_item_that_is_meant_can_be_told(phrasing: str, seed: int) -> None:
    example = OpenToDo(phrasing).draw(random.Random(seed))
    html, _, said = example.prompt.removeprefix("edit ").partition("\n")
    before, after = read(html), read(example.answer)
    gone = [at for at, one in enumerate(before.items) if one not in after.items]
    if not gone or before.title != after.title:
        return
    (at,) = gone
    text = before.items[at][0]
    places = ("first", "second", "third", "fourth")
    low = said.lower()
    # The word "number" may be mistyped, its digit is not.
    placed = f"{places[at]} " in low or re.search(rf"\b{at + 1}\b", low) is not None
    placed = placed or (at == len(before.items) - 1 and "last" in low)
    words = [word for word in text.split() if word.lower() in re.split(r"[ .!:]", low)]
    others = {other.lower() for number, (one, _) in enumerate(before.items) if number != at
              for other in one.split()}  # fmt: skip
    assert placed or text.lower() in low or any(word.lower() not in others for word in words)


def test_every_kind_occurs_in_words_without_end() -> None:
    for phrasing in PHRASINGS:
        rng = random.Random(1)
        examples = [OpenToDo(phrasing).draw(rng) for _ in range(1500)]
        words = {word for one in examples for word in re.findall(r"\w+", one.prompt)}
        assert len(words) > 3000
        text = "\n".join(one.prompt.split("\n")[1] for one in examples)
        templates = TRAINING if phrasing == "training" else HELD_OUT
        for kind, forms in templates.items():
            stems = [re.sub(r" ?\{\d\} ?", "", form) for form in forms]
            assert any(stem in text for stem in stems), kind


def test_held_out_templates_are_not_in_training() -> None:
    for kind, forms in HELD_OUT.items():
        assert not set(forms) & set(TRAINING[kind])
    with pytest.raises(ConfigError, match="phrasing"):
        OpenToDo("other")


def test_a_slip_is_one_letter() -> None:
    rng = random.Random(1)
    slips = [mistyped("remove", rng) for _ in range(50)]
    assert {len(slip) for slip in slips} == {5, 6, 7}
    assert all(slip[0] == "r" for slip in slips)
    assert mistyped("a", rng) == "a"


def test_new_words_and_items_are_plain_text() -> None:
    rng = random.Random(1)
    words = {new_word(rng) for _ in range(2000)}
    assert len(words) > 1700
    assert all(re.fullmatch("[a-z]+", word) for word in words)
    assert not any(re.search(r"[<>\[\]\n]", item(rng)) for _ in range(2000))
