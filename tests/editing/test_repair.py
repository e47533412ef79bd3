"""Repair: what is unlikely is exchanged where that makes a likelier text, all else stays."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import redraft
from redraft.api import Model
from redraft.editing.diff import unified_diff
from redraft.errors import ConfigError, NonFiniteError, RequestError
from redraft.testing import byte_tokenizer, tiny_model

TEXT = (
    "def step(shops):\n    acc = 1\n    for one in shops:\n        acc *= one.age\n    return acc"
)


@pytest.fixture(scope="module")
def small() -> Model:
    return redraft.load("small-text")


def test_a_wrong_name_is_found_and_replaced(small: Model) -> None:
    wrong = TEXT.replace("in shops", "in acc")
    repaired = small.repair(wrong, instruction="fill python", seed=1)
    assert repaired.text == TEXT
    assert repaired.original == wrong
    change = repaired.changes[0]
    assert wrong[change.at : change.at + len(change.before)] == change.before
    assert all(one.score > 2 for one in repaired.changes)
    assert "-    for one in acc:\n+    for one in shops:\n" in repaired.diff
    assert repaired.seed == 1
    assert repaired == small.repair(wrong, instruction="fill python", seed=1)


def test_what_is_likely_already_stays_and_so_do_line_ends(small: Model) -> None:
    repaired = small.repair(TEXT + "\n", instruction="fill python", seed=1)
    assert (repaired.text, repaired.changes, repaired.diff) == (TEXT + "\n", (), "")


def test_a_text_longer_than_a_canvas_is_repaired_all_along(random_weights: Model) -> None:
    text = "".join(f"line {number}\n" for number in range(16))
    repaired = random_weights.repair(text, seed=1, max_noised=4, rounds=2, max_denoising_steps=2)
    assert len(text) > 6 * random_weights.config.canvas_length
    halves = {
        change.at // (random_weights.config.canvas_length // 2) for change in repaired.changes
    }
    assert len(halves) > 3
    assert max(halves) > 6  # random weights find everything unlikely, everywhere


@pytest.fixture(scope="module")
def random_weights() -> Model:
    return Model(
        tiny_model(3, vocab_size=384, canvas_length=16, max_position_embeddings=256),
        byte_tokenizer(),
    )


@settings(max_examples=20, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40))
def test_changes_lead_from_the_text_to_what_came_of_it(random_weights: Model, text: str) -> None:
    repaired = random_weights.repair(text, seed=2, max_noised=3, rounds=2, max_denoising_steps=1)
    now = text
    for change in repaired.changes:
        assert now[change.at :].startswith(change.before)
        now = now[: change.at] + change.after + now[change.at + len(change.before) :]
    assert now == repaired.text


def test_misuse_is_told(random_weights: Model) -> None:
    with pytest.raises(RequestError, match="the context holds 256"):
        random_weights.repair("x" * 300)
    for options in ({"most": 0}, {"rounds": 0}, {"entropy_bond": 1.0}):
        with pytest.raises(ConfigError):
            random_weights.repair("x", **options)


def test_a_diff_is_what_patch_reads() -> None:
    assert unified_diff("a", "a") == ""
    lines = unified_diff("a\u2028b\nc", "a\u2028b\nd\n", "a/x", "b/x").splitlines(keepends=True)
    assert lines[-3:] == ["-c\n", "\\ No newline at end of file\n", "+d\n"]


def test_a_text_that_is_all_left_out_is_empty(random_weights: Model) -> None:
    padding = {"logit_bias": {0: 1e4}, "seed": 2, "max_denoising_steps": 1}
    for text in ("a", "", "\n", "x" * 9):
        repaired = random_weights.repair(text, **padding)
        assert (repaired.original, repaired.text) == (text, "")


def test_broken_weights_are_named() -> None:
    network = tiny_model(3, vocab_size=384, canvas_length=16)
    with torch.no_grad():
        network.embed_tokens.weight[300] = float("nan")
    broken = Model(network, byte_tokenizer())
    with pytest.raises(NonFiniteError, match="embed_tokens"):
        broken.repair("abc")
    with pytest.raises(NonFiniteError, match="embed_tokens"):
        broken.infill("abc <hole> d", method="typewriter")
