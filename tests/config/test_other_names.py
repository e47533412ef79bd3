"""One option may have several names: it has one meaning, and errors are in the caller's word."""

from __future__ import annotations

import pytest

from redraft.config import GenerationConfig
from redraft.errors import ConfigError


def test_max_tokens_is_max_new_tokens() -> None:
    config = GenerationConfig(max_length=9)
    assert config.with_options({"max_tokens": 5}) == config.with_options({"max_new_tokens": 5})
    assert config.with_options({"max_tokens": 5, "max_new_tokens": 5}).max_new_tokens == 5


def test_an_error_is_in_the_callers_word() -> None:
    with pytest.raises(ConfigError) as told:
        GenerationConfig().with_options({"max_tokens": 0})
    assert "max_tokens" in str(told.value)
    assert "max_new_tokens" not in str(told.value)
    with pytest.raises(ConfigError, match="max_new_tokens"):
        GenerationConfig().with_options({"max_new_tokens": 0})


def test_two_values_of_one_option_are_an_error() -> None:
    with pytest.raises(ConfigError, match="are one option: give one"):
        GenerationConfig().with_options({"max_tokens": 5, "max_new_tokens": 6})
