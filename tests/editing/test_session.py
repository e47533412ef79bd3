"""Edit sessions: what did not change is not encoded again, and every edit can be taken back."""

from __future__ import annotations

import pytest
import torch

import redraft
from redraft.api import Model
from redraft.editing import Hole
from redraft.engine.prefix_rows import SessionPrefix
from redraft.errors import RequestError
from redraft.testing import byte_tokenizer, tiny_model
from redraft.testing.tiny import random_shape
from tests.engine.probe import run_course

STEPS = {"max_denoising_steps": 2, "max_candidates": 2, "hole": Hole(2, 4)}


@pytest.fixture(scope="module")
def model() -> Model:
    network = tiny_model(
        3, vocab_size=384, canvas_length=32, sliding_window=16, max_position_embeddings=8192
    )
    return Model(network, byte_tokenizer())


@pytest.mark.parametrize("seed", range(8))
def test_a_prefix_that_is_cut_back_is_as_if_read_at_once(seed: int) -> None:
    import random

    network = tiny_model(seed, vocab_size=384, **random_shape(random.Random(seed)))
    torch.manual_seed(seed)
    first, second = torch.randint(2, 384, (90,)).tolist(), torch.randint(2, 384, (40,)).tolist()
    length = network.config.canvas_length
    canvas, signal = (
        torch.randint(0, 384, (1, length)),
        torch.zeros(1, length, network.config.hidden_size),
    )
    kept = SessionPrefix()
    texts = (
        first,
        first[:60] + second,
        first[:33],
        first[:33] + second,
        first[:33] + second,
    )

    def course(resources):
        for tokens in texts:
            row = kept.row(resources, tokens, len(tokens) + length)
            yield [row]
            kept.note(tokens)
            cache, state = row.begin(), row.result
            alone = network.new_cache(len(tokens) + length)
            expected = network.encode_prompt(tokens, alone)
            assert cache.length == alone.length == len(tokens)
            assert torch.allclose(state, expected, atol=1e-4)
            found = network.canvas_states(canvas, [cache], signal)
            assert torch.allclose(found, network.canvas_states(canvas, [alone], signal), atol=1e-4)

    run_course(network, course)
    assert kept.encoded == 90 + 40 + 1 + 40 + 1


def test_the_second_edit_of_a_long_text_encodes_next_to_nothing(model: Model) -> None:
    text = "".join(f"line {number:05}\n" for number in range(200))  # 2,200 tokens
    session = model.edit(text)
    first = text.index("line 00190")
    edit = session.rewrite([(first, first + 4)], seed=1, **STEPS)
    assert session.encoded == 1 + first
    session.rewrite([(first + 11, first + 15)], seed=2, **STEPS)
    assert session.encoded <= 1 + first + 30
    alone = model.rewrite(text, [(first, first + 4)], seed=1, **STEPS)
    assert (alone.text, alone.fills) == (edit.after, edit.filled.fills)


def test_edits_are_undone_and_done_again(model: Model) -> None:
    session = model.edit("one\ntwo\nthree")
    by_hand = session.replace(4, 7, "2")
    assert session.text == "one\n2\nthree"
    assert (
        by_hand.diff
        == "--- before\n+++ after\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n\\ No newline at end of file\n"
    )
    written = session.insert(0, seed=1, **STEPS)
    assert session.text == written.after == written.filled.fills[0] + by_hand.after
    assert session.undo() == written
    assert session.undo() == by_hand
    assert session.text == "one\ntwo\nthree"
    with pytest.raises(RequestError, match="nothing to undo"):
        session.undo()
    session.redo()
    session.redo()
    assert session.text == written.after
    assert session.edits == [by_hand, written]
    session.undo()
    session.replace(0, 0, "zero\n")
    with pytest.raises(RequestError, match="nothing to redo"):
        session.redo()
    with pytest.raises(RequestError, match="does not lie"):
        session.replace(5, 99, "")
    before = session.text
    with pytest.raises(RequestError, match="does not lie"):
        session.rewrite([(0, 99)])
    assert session.text == before


def test_an_interrupted_reading_leaves_nothing_wrong_behind(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(f"line {number}\n" for number in range(60))
    session, fresh = model.edit(text), model.edit(text)
    session.insert(len(text), seed=1, **STEPS)
    session.undo()
    with monkeypatch.context() as patch:
        patch.setattr(
            model.network, "encode", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        session.replace(0, 4, "LINE")
        with pytest.raises(KeyboardInterrupt):
            session.insert(30, seed=1, **STEPS)
    fresh.replace(0, 4, "LINE")
    again = session.insert(200, seed=1, **STEPS)
    assert again.after == fresh.insert(200, seed=1, **STEPS).after
    assert again.filled == fresh.edits[-1].filled


def test_edits_that_move_forward_encode_what_is_new(model: Model) -> None:
    text = "".join(f"line {number}\n" for number in range(120))
    session = model.edit(text)
    for at in (100, 400, 700, 1000):
        at = text.rfind("\n", 0, at) + 1
        session.insert(at, seed=1, **STEPS)
        session.undo()
    assert session.encoded <= len(text.encode()) + 5


def test_an_edit_may_have_an_instruction_of_its_own() -> None:
    small = redraft.load("small-text")
    text = "def step(shops):\n    acc = 0\n    for one in shops:\n        acc += one.age\n    return acc"
    session = small.edit(text)
    at = text.index("    acc = 0")
    edit = session.rewrite([(at, at + len("    acc = 0"))], "start at 5", seed=1)
    assert (
        edit.after
        == small.rewrite(text, [(at, at + len("    acc = 0"))], "start at 5", seed=1).text
    )
    assert edit.after == text.replace("acc = 0", "acc = 5")
