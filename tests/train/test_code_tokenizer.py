from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redraft.errors import ConfigError
from redraft.text import Tokenizer
from redraft.train.corpus.tokenizer import train_code_tokenizer

TOKENIZER = Tokenizer.from_folder(Path(__file__).parents[2] / "recipes" / "small-code")
SOURCE = Path(random.__file__).read_text(encoding="utf-8")


def spelled(text: str) -> list[str]:
    return [TOKENIZER.decode([token]) for token in TOKENIZER.encode(text, bos=False)]


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_comes_back_to_the_byte(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text, bos=False), special=True) == text


@given(st.lists(st.sampled_from(["\n", " ", "    ", "\t", "\r\n", "self.", "def f", "é", "0"])))
@settings(max_examples=300, deadline=None)
def test_white_space_comes_back_to_the_byte(parts: list[str]) -> None:
    text = "".join(parts)
    assert TOKENIZER.decode(TOKENIZER.encode(text, bos=False), special=True) == text


def test_indentation_is_a_token() -> None:
    text = "def f(self, x):\n    if x:\n        return self.x\n\n    return None\n"
    found = spelled(text)
    assert "\n    " in found
    assert "\n        " in found
    assert "\n\n    " in found
    assert "self." in "".join(found)
    assert " self." in found


def test_a_line_by_itself_begins_with_its_indentation() -> None:
    assert spelled("        return x")[:2] == ["        ", "return"]
    assert spelled("    x = 1")[0] == "    "


def test_digits_stand_alone() -> None:
    assert spelled("x[120]") == ["x", "[", "1", "2", "0", "]"]


def test_training_gives_the_same_tokenizer_again() -> None:
    one, other = (train_code_tokenizer([SOURCE] * 3, 600) for _ in range(2))
    assert one.backend.to_str() == other.backend.to_str()
    assert one.vocab_size == 600
    assert one.decode(one.encode(SOURCE, bos=False)) == SOURCE
    with pytest.raises(ConfigError, match="481"):
        train_code_tokenizer([SOURCE], 481)
