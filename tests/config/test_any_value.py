"""Values of any type and size in config files: the project's own errors, or a config."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

from redraft.config import GenerationConfig
from redraft.config.file import model_config_from_dict, model_config_to_dict
from redraft.errors import ConfigError, RedraftError
from redraft.testing import tiny_config

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 3, 2.5, -0.0, 1e308, 10**30, 10**400, -(10**400)),
    *(float("nan"), float("inf"), "", "x", "1", "\ud800", [], [1], [None], [[]], ["x"], [10**400]),
    *([float("nan")], {}, {"a": 1}, {"x": None}, [{}], {"0": 3}, {"0": {}}),
    *({"5": {"head_dim": []}}, {"sliding_attention": {"rope_type": [], "rope_theta": {}}}),
]
OTHER_KEYS = (
    "per_layer_config rope_parameters rms_norm_eps hidden_activation bos_token_id pad_token_id "
    "eos_token_id final_logit_softcapping layer_types attention_bias global_head_dim "
    "use_bidirectional_attention tie_word_embeddings num_global_key_value_heads"
).split()
Path = tuple[str, ...]


def paths(value: Any, above: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*above, key)
            yield from paths(inner, (*above, key))


def put(raw: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """Return a copy with another value at a path."""
    found = copy.deepcopy(raw)
    here = found
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value
    return found


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_a_model_config_or_a_typed_error(number: int) -> None:
    raw = model_config_to_dict(tiny_config())
    for path in dict.fromkeys([*paths(raw), *(("text_config", key) for key in OTHER_KEYS)]):
        with contextlib.suppress(RedraftError):
            model_config_from_dict(put(raw, path, VALUES[number]))


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_a_generation_config_or_a_typed_error(number: int) -> None:
    raw, value = GenerationConfig().to_dict(), VALUES[number]
    names = [field.name for field in fields(GenerationConfig)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in [*paths(raw), *((name,) for name in names), ("max_length",), ("zz",)]:
            with contextlib.suppress(RedraftError):
                GenerationConfig.from_dict(put(raw, path, value))
        for name in names:
            with contextlib.suppress(RedraftError):
                GenerationConfig().with_options({name: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_size", 10**30),
        ("num_experts", 2**31),
        ("num_hidden_layers", 10**9),
        ("hidden_activation", ["gelu"]),
        ("attention_bias", "no"),
        ("num_global_key_value_heads", []),
        ("per_layer_config", {"0": 3}),
        ("bos_token_id", 10**400),
    ],
)
def test_a_wrong_value_is_named(key: str, value: Any) -> None:
    raw = model_config_to_dict(tiny_config())
    raw["text_config"].pop("layer_types")
    name = "token id" if key == "bos_token_id" else key
    with pytest.raises(ConfigError, match=name):
        model_config_from_dict(put(raw, ("text_config", key), value))
