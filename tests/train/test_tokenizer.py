from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redraft.errors import ConfigError
from redraft.tasks import Arithmetic, Infill, Rewrite, Sudoku, ToDo, Wiki
from redraft.text import ChatTemplate, Tokenizer
from redraft.text.chat_template import TURN_TEMPLATE
from redraft.train.batch import make_batch
from redraft.train.example_encoder import ExampleEncoder
from redraft.train.tokenizer import train_tokenizer

TASKS = (Sudoku(), Arithmetic(), Infill(), Rewrite(), ToDo(), Wiki())


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TASKS, 1280, 1)


@pytest.fixture(scope="module")
def encoder(tokenizer: Tokenizer) -> ExampleEncoder:
    return ExampleEncoder(tokenizer, ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"}), 96, 96)


def test_special_tokens_stand_where_gemma_has_them(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocab_size == 1280
    for number, token in (
        (0, "<pad>"),
        (1, "<eos>"),
        (2, "<bos>"),
        (105, "<|turn>"),
        (106, "<turn|>"),
        (98, "<|think|>"),
    ):
        assert tokenizer.token_id(token) == number
        assert tokenizer.encode(token, bos=False) == [number]
    assert tokenizer.byte_tokens() == frozenset(range(128, 384))


def test_digits_stand_alone_and_words_do_not_fall_apart(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("20461", bos=False)) == 5
    assert len(tokenizer.encode("    return", bos=False)) <= 2
    assert len(tokenizer.encode("<li></li>", bos=False)) == 2


@pytest.mark.long
def test_the_same_tasks_and_seed_give_the_same_tokenizer(tokenizer: Tokenizer) -> None:
    assert train_tokenizer(TASKS, 1280, 1).backend.to_str() == tokenizer.backend.to_str()


@settings(deadline=None)
@given(
    st.text(alphabet=st.characters(exclude_characters="▁", exclude_categories=("Cs",)), max_size=60)
)
def test_every_text_comes_back(text: str) -> None:
    tokenizer = _shared()
    ids = tokenizer.encode(text, bos=False)
    if not any(token < 128 for token in ids):  # a special token written out is itself, and no text
        assert tokenizer.decode(ids) == text


def _shared(cache: list[Tokenizer] = []) -> Tokenizer:  # noqa: B006
    if not cache:
        cache.append(train_tokenizer((Arithmetic(), Infill()), 900, 0))
    return cache[0]


def test_too_small_a_vocabulary_is_told() -> None:
    with pytest.raises(ConfigError, match="must be above"):
        train_tokenizer((Arithmetic(),), 400, 0)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_example_fits_and_reads_back(encoder: ExampleEncoder, task) -> None:
    rng = random.Random(3)
    examples = [task.draw(rng) for _ in range(300)]
    batch = make_batch(examples, encoder, rng)
    for number, example in enumerate(examples):
        prefix = batch.prefix[number, : batch.prefix_lengths[number]].tolist()
        left = encoder.tokenizer.decode(prefix).partition("model\n")[2]
        assert left + encoder.tokenizer.decode(batch.target[number].tolist()) == example.answer
        assert left + encoder.tokenizer.decode(batch.answer[number].tolist()) == example.answer
        free = batch.target[number][~batch.frozen[number]].tolist()
        if example.holes:
            assert encoder.tokenizer.decode(free) == "".join(
                example.answer[first:last] for first, last in example.holes
            )
            assert 0 not in batch.answer[number].tolist()[: int(batch.answer_lengths[number])]
        else:
            assert len(free) == 96
    if examples[0].holes:
        assert any(
            0 in row[~known].tolist() for row, known in zip(batch.target, batch.frozen, strict=True)
        )
        assert (
            len(
                {
                    bool(encoder.tokenizer.decode(row.tolist()).endswith("model\n"))
                    for row in batch.prefix
                }
            )
            == 2
        )
