"""Records as canvases: what stands before them, what counts, and where a turn ends."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from redraft.errors import DataError
from redraft.testing import byte_tokenizer, tiny_config
from redraft.text import ChatTemplate
from redraft.text.chat_template import TURN_TEMPLATE
from redraft.train.finetune.encode import RecordEncoder
from redraft.train.finetune.records import Continuation, Conversation, FilledTemplate

SHAPE = tiny_config(vocab_size=384, canvas_length=48)
LENGTH = SHAPE.canvas_length
TOKENIZER = byte_tokenizer()
ENCODER = RecordEncoder(
    TOKENIZER, ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"}), SHAPE, (106, 1)
)
TALK = Conversation(
    [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "first answer"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "z" * (LENGTH + 3)},
    ]
)


def text(tokens: list[int]) -> str:
    return TOKENIZER.decode(tokens, special=True)


def test_every_turn_of_the_model_is_learnt_and_nothing_else() -> None:
    encoded = ENCODER.encode(TALK)
    parts = [text(encoded.tokens[turn.start : turn.stop]) for turn in encoded.turns]
    assert parts[0].startswith("first answer")
    assert parts[0].endswith("<turn|>")
    assert parts[1].startswith("zzz")
    assert [turn.complete for turn in encoded.turns] == [True, True]
    last = replace(ENCODER, last_turn_only=True).encode(TALK)
    assert last.turns == encoded.turns[1:]


def test_a_canvas_stands_behind_what_the_model_reads_when_it_writes() -> None:
    """Every canvas of every turn is drawn; its tokens follow the clean ones before it."""
    seen = Counter()
    encoded = ENCODER.encode(TALK)
    for seed in range(60):
        canvas = ENCODER.canvas(TALK, random.Random(seed))
        seen[canvas.start] += 1
        written = sum(canvas.target[at] != 106 or at == 0 for at in range(LENGTH))
        there = encoded.tokens[canvas.start : canvas.start + LENGTH]
        assert canvas.target[: min(written, len(there))] == there[: min(written, len(there))]
        assert canvas.sequence == encoded.tokens[: len(canvas.sequence)]
        assert not any(canvas.frozen)
        assert all(canvas.counted)  # the end and what fills the canvas behind it are learnt
        assert all(canvas.learnt)
    assert len(seen) == 3  # one of the first turn, two of the second


def test_a_turn_that_is_cut_has_no_end_to_learn() -> None:
    short = replace(ENCODER, max_length=len(ENCODER.encode(TALK).tokens) - 5)
    encoded = short.encode(TALK)
    assert encoded.cut == 5
    assert [turn.complete for turn in encoded.turns] == [True, False]
    canvases = [short.canvas(TALK, random.Random(seed)) for seed in range(40)]
    last = max(canvases, key=lambda canvas: canvas.start)
    tail = len(last.sequence) - last.start
    assert last.counted == [True] * tail + [False] * (LENGTH - tail)
    with pytest.raises(DataError, match="nothing of the answer"):
        replace(ENCODER, max_length=4).encode(TALK)


def test_the_encoders_loss_can_leave_prompts_out() -> None:
    canvas = replace(ENCODER, whole_sequence=False).canvas(TALK, random.Random(1))
    learnt = [token for token, one in zip(canvas.sequence, canvas.learnt, strict=True) if one]
    assert text(learnt).startswith("first answer")
    assert "one" not in text(learnt)


def test_a_continuation_ends_with_the_first_end_token() -> None:
    canvas = ENCODER.canvas(Continuation("ab", "<turn|>cd"), random.Random(0))
    assert text(canvas.sequence[: canvas.start]) == "<bos>ab"
    # A control token in what is learnt is text.
    assert canvas.target.count(106) == LENGTH - len("<turn|>cd")


def test_a_template_is_given_but_for_its_holes() -> None:
    record = FilledTemplate(("def f(x):\n    return ", "\n\nf(", ")\n"), ("x + 1", "7"))
    for seed in range(8):
        canvas = ENCODER.canvas(record, random.Random(seed))
        pairs = zip(canvas.target, canvas.frozen, canvas.counted, strict=True)
        learnt = [token for token, known, one in pairs if one and not known]
        assert [text([token]) for token in learnt if token != 0] == list("x + 17")
        assert text(canvas.sequence) == "<bos>def f(x):\n"
        assert all(
            not one for one, known in zip(canvas.counted, canvas.frozen, strict=True) if known
        )
    asked = replace(record, instruction="fill it")
    canvas = ENCODER.canvas(asked, random.Random(1))
    assert "fill it" in text(canvas.sequence)


@pytest.mark.parametrize(("record", "message"), [
    (FilledTemplate(("a" * 200, ""), ("b" * 200,), "i"), "a canvas holds"),
    (Conversation([{"role": "assistant", "content": "a"}]), "nothing to answer"),
    (Continuation("a", "\ud800"), "surrogate"),
])  # fmt: skip
def test_a_record_that_cannot_be_learnt_says_why(record, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ENCODER.canvas(record, random.Random(0))


def test_without_a_chat_template_messages_cannot_be_learnt() -> None:
    plain = replace(ENCODER, template=None)
    with pytest.raises(DataError, match="no chat template"):
        plain.canvas(TALK, random.Random(0))
    assert plain.canvas(Continuation("a", "b"), random.Random(0)).start == 2


def test_a_template_that_writes_earlier_turns_anew_teaches_the_last() -> None:
    shortened = (
        "{{ bos_token }}{% for m in messages %}<|turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
        "{{ m.content if loop.last or m.role != 'assistant' else m.content[:2] }}<turn|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|turn>model\n{% endif %}"
    )
    encoder = replace(ENCODER, template=ChatTemplate(shortened, {"bos_token": "<bos>"}))
    (turn,) = encoder.encode(TALK).turns
    assert text(encoder.encode(TALK).tokens[turn.start : turn.stop]).startswith("zzz")
