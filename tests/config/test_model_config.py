from __future__ import annotations

from typing import Any

import pytest

from redraft.config import RopeConfig
from redraft.config.file import model_config_from_dict, model_config_to_dict
from redraft.config.model import FULL, SLIDING
from redraft.errors import ConfigError
from redraft.testing import tiny_config


def raw(**text: Any) -> dict[str, Any]:
    written = model_config_to_dict(tiny_config())
    written["text_config"] |= text
    return written


def released() -> dict[str, Any]:
    """The shape of the released 26B, with the keys its file has."""
    return {
        "model_type": "diffusion_gemma",
        "canvas_length": 256,
        "boi_token_id": 255999,
        "image_token_id": 258880,
        "eoi_token_id": 258882,
        "text_config": {
            "hidden_size": 2816,
            "intermediate_size": 2112,
            "moe_intermediate_size": 704,
            "num_hidden_layers": 30,
            "layer_types": ([SLIDING] * 5 + [FULL]) * 5,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 256,
            "num_global_key_value_heads": 2,
            "global_head_dim": 512,
            "num_experts": 128,
            "top_k_experts": 8,
            "vocab_size": 262144,
            "max_position_embeddings": 262144,
            "sliding_window": 1024,
            "rms_norm_eps": 1e-6,
            "hidden_activation": "gelu_pytorch_tanh",
            "eos_token_id": [1, 106],
            "use_bidirectional_attention": "vision",
        },
    }


def test_what_is_written_is_read_back() -> None:
    config = tiny_config()
    assert model_config_from_dict(model_config_to_dict(config)) == config


def test_the_released_shape_has_the_released_size() -> None:
    from redraft.network.memory_estimate import active_parameters, parameter_counts

    config = model_config_from_dict(released())
    assert sum(parameter_counts(config).values()) == pytest.approx(25.2e9, rel=0.01)
    assert active_parameters(config) == pytest.approx(3.8e9, rel=0.05)
    assert config.layers[4].sliding_window == 1024
    assert config.layers[5].keys_are_values
    assert config.layers[5].rope == RopeConfig(
        rope_type="proportional", rope_theta=1e6, partial_rotary_factor=0.25
    )


def test_per_layer_config_says_the_same_as_the_two_global_keys() -> None:
    newer = raw()
    shape = {
        "head_dim": newer["text_config"].pop("global_head_dim"),
        "num_key_value_heads": newer["text_config"].pop("num_global_key_value_heads"),
    }
    newer["text_config"]["per_layer_config"] = {"1": shape, "3": shape}
    assert model_config_from_dict(newer) == tiny_config()


def test_layers_of_one_kind_with_two_shapes_are_refused() -> None:
    with pytest.raises(ConfigError, match="per_layer_config"):
        model_config_from_dict(raw(per_layer_config={"1": {"head_dim": 16}, "3": {"head_dim": 32}}))


@pytest.mark.parametrize("key", ["vocab_size", "head_dim", "num_experts", "sliding_window"])
def test_a_missing_key_is_named(key: str) -> None:
    broken = raw()
    del broken["text_config"][key]
    with pytest.raises(ConfigError, match=key):
        model_config_from_dict(broken)


def test_a_config_without_canvas_length_is_refused() -> None:
    broken = raw()
    del broken["canvas_length"]
    with pytest.raises(ConfigError, match="canvas_length"):
        model_config_from_dict(broken)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"attention_bias": True}, "attention_bias"),
        ({"use_bidirectional_attention": "all"}, "use_bidirectional_attention"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"layer_types": [FULL, FULL, FULL, SLIDING]}, "last layer"),
        ({"layer_types": [FULL]}, "layer_types"),
        ({"layer_types": ["linear", FULL, FULL, FULL]}, "layer_types"),
        ({"top_k_experts": 9}, "top_k_experts"),
        ({"num_key_value_heads": 3}, "num_attention_heads"),
        ({"head_dim": 7}, "head_dim"),
        ({"hidden_size": "32"}, "hidden_size"),
        ({"eos_token_id": "a"}, "token id"),
        ({"eos_token_id": [None]}, "eos_token_id"),
        ({"bos_token_id": "x"}, "token id"),
        ({"layer_types": 5}, "layer_types"),
        ({"rope_parameters": "x"}, "rope_parameters"),
        ({"per_layer_config": [1]}, "per_layer_config"),
        ({"layer_types": None, "num_hidden_layers": "4"}, "num_hidden_layers"),
        (
            {"rope_parameters": {SLIDING: {"rope_type": "yarn", "rope_theta": 1e4}, FULL: {}}},
            "rope_type",
        ),
        ({"rope_parameters": {SLIDING: {"rope_type": "default", "rope_theta": 1e4}}}, FULL),
    ],
)
def test_a_trait_that_cannot_run_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        model_config_from_dict(raw(**changes))


def test_another_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="llama"):
        model_config_from_dict({"model_type": "llama"})


@pytest.mark.parametrize("value", [None, 0, 0.0])
def test_null_or_zero_is_no_softcap(value: float | None) -> None:
    assert (
        model_config_from_dict(raw(final_logit_softcapping=value)).final_logit_softcapping is None
    )
    without = raw()
    del without["text_config"]["final_logit_softcapping"]
    assert model_config_from_dict(without).final_logit_softcapping == 30.0
    with pytest.raises(ConfigError, match="final_logit_softcapping"):
        model_config_from_dict(raw(final_logit_softcapping=-1.0))
