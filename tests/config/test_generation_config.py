from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from redraft.config import GenerationConfig, GenerationOptions
from redraft.errors import ConfigError, ContextLengthError, UnknownOptionError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_new_tokens", 0),
        ("max_new_tokens", True),
        ("max_new_tokens", 2.0),
        ("max_denoising_steps", 0),
        ("entropy_bound", 0.0),
        ("entropy_bound", -0.1),
        ("entropy_bound", float("nan")),
        ("entropy_bound", "0.1"),
        ("t_min", -0.1),
        ("t_max", 0.0),
        ("t_max", 0.3),
        ("t_max", float("inf")),
        ("stability_threshold", -1),
        ("confidence_threshold", 0),
        ("temperature", -1),
        ("top_k", -1),
        ("top_k", 1.5),
        ("max_length", 0),
        ("frequency_penalty", 2.5),
        ("presence_penalty", -3),
        ("top_p", 0),
        ("top_p", 1.1),
        ("min_p", -0.1),
        ("min_p", 2),
        ("repetition_penalty", 0),
        ("seed", 1.5),
        ("seed", True),
        ("stop", ("",)),
        ("logit_bias", {-1: 1.0}),
        ("logit_bias", {3: float("nan")}),
        ("eos_token_id", (-1,)),
        ("eos_token_id", None),
        ("stop", 5),
        ("stop", None),
        ("logit_bias", 5),
        ("logit_bias", None),
        ("logit_bias", {"a": 1.0}),
        ("max_denoising_steps", 10**20),
        ("temperature", 10**400),
        ("temperature", 1e-39),
        ("repetition_penalty", 1e-40),
        ("t_max", 1e-39),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        GenerationConfig().with_options({name: value})


def test_an_unknown_option_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UnknownOptionError, match="entropy_bound"):
        GenerationConfig().with_options({"entropy_bond": 0.2})
    with pytest.raises(UnknownOptionError, match="options are"):
        GenerationConfig().with_options({"zzz": 0.2})


def test_defaults_are_the_released_checkpoints() -> None:
    released = {
        "max_new_tokens": 256,
        "max_denoising_steps": 48,
        "t_max": 0.8,
        "t_min": 0.4,
        "stability_threshold": 1,
        "confidence_threshold": 0.005,
        "eos_token_id": [1, 106, 50],
        "pad_token_id": 0,
        "sampler_config": {"_cls_name": "EntropyBoundSamplerConfig", "entropy_bound": 0.1},
    }
    assert GenerationConfig.from_dict(released) == GenerationConfig()
    assert GenerationConfig().to_dict() == released


def test_null_in_the_file_means_the_default() -> None:
    assert (
        GenerationConfig.from_dict(
            {"t_max": None, "sampler_config": {}, "transformers_version": "5"}
        )
        == GenerationConfig()
    )


def test_a_key_of_the_file_that_is_not_applied_is_told() -> None:
    with pytest.warns(UserWarning, match="dream_depth"):
        GenerationConfig.from_dict({"dream_depth": 3})


def test_what_a_file_may_hold_is_applied_or_told(recwarn: pytest.WarningsRecorder) -> None:
    """Gemma's recommended settings, and lengths, in the names of transformers."""
    found = GenerationConfig.from_dict(
        {"do_sample": True, "top_k": 64, "top_p": 0.95, "temperature": 1.0, "max_length": 40,
         "stop_strings": ["END"], "frequency_penalty": 0.5}
    )  # fmt: skip
    assert (found.top_k, found.top_p, found.max_length) == (64, 0.95, 40)
    assert (found.stop, found.frequency_penalty) == (("END",), 0.5)
    assert not recwarn.list
    for key, value in (("do_sample", False), ("typical_p", 0.9), ("num_beams", 4)):
        with pytest.warns(UserWarning, match=key):
            GenerationConfig.from_dict({key: value})


@pytest.mark.parametrize(
    ("file", "options", "expected"),
    [
        ({"max_length": 40}, {}, 30),
        ({"max_length": 600}, {}, 590),
        ({"max_length": 40, "max_new_tokens": 256}, {}, 30),
        ({"max_length": 40, "max_new_tokens": 100}, {}, 30),
        ({"max_length": 40, "max_new_tokens": 8}, {}, 8),
        ({"max_length": 40}, {"max_new_tokens": 64}, 64),
        ({"max_new_tokens": 64}, {"max_length": 40}, 30),
        ({}, {}, 256),
    ],
)
def test_max_length_counts_the_prompt(
    file: dict[str, int], options: dict[str, int], expected: int
) -> None:
    config = GenerationConfig.from_dict(file).with_options(options)
    assert config.limited(10).max_new_tokens == expected


def test_a_prompt_as_long_as_max_length_is_refused() -> None:
    with pytest.raises(ContextLengthError, match="max_length is 10"):
        GenerationConfig(max_length=10).limited(10)


def test_the_files_stop_strings_give_way_to_a_constraint_and_the_calls_do_not() -> None:
    file = GenerationConfig(top_k=64, top_p=0.95, stop=("x",), temperature=0.7)
    config = file.with_options_and_constraint({"seed": 1})
    assert config == GenerationConfig(top_k=64, top_p=0.95, temperature=0.7, seed=1)
    assert file.with_options_and_constraint({"stop": "y"}).stop == ("y",)


def test_one_eos_and_one_stop_are_taken_as_lists_of_one() -> None:
    config = GenerationConfig(eos_token_id=7, stop="end")  # type: ignore[arg-type]
    assert config.eos_token_id == (7,)
    assert config.stop == ("end",)


def test_the_typed_options_are_the_fields_of_the_config() -> None:
    options, config = get_type_hints(GenerationOptions), get_type_hints(GenerationConfig)
    assert options.pop("max_tokens") is int  # another name of max_new_tokens
    assert list(options) == list(config)
    assert not GenerationOptions.__required_keys__
    for name in ("eos_token_id", "stop"):  # these may also be one value, or a list
        assert options.pop(name) == get_args(config[name])[0] | list[
            config[name].__args__[0]
        ] | config.pop(name)
    assert options == config
