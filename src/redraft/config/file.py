"""From `config.json` to ModelConfig and back.

The released file has `global_head_dim` and `num_global_key_value_heads`. Newer transformers write
`per_layer_config` (layer index -> the settings that differ) in their place. Both forms are read;
the first is written, because every reader understands it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from redraft.config.check import check_integer
from redraft.config.model import (
    DEFAULT_ROPE,
    DEFAULT_SOFTCAP,
    FULL,
    MAX_LAYERS,
    MODEL_TYPE,
    SLIDING,
    ModelConfig,
    RopeConfig,
)
from redraft.errors import ConfigError

ARCHITECTURE = "DiffusionGemmaForBlockDiffusion"
# Keys of `text_config` that must be there.
REQUIRED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "moe_intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "num_experts",
    "top_k_experts",
    "sliding_window",
    "max_position_embeddings",
)
# Keys that stand beside `text_config`, not inside it.
OUTER = ("canvas_length", "image_token_id", "boi_token_id", "eoi_token_id", "vision_config")


def model_config_from_dict(raw: Mapping[str, Any]) -> ModelConfig:
    """Build a ModelConfig from a parsed `config.json`.

    Raises:
        ConfigError: another model type, a missing key, or a feature that is not supported.
    """
    if raw.get("model_type") != MODEL_TYPE:
        raise ConfigError(
            f"model_type is {raw.get('model_type')!r}: "
            f"only {MODEL_TYPE!r} checkpoints can be loaded"
        )
    text = raw.get("text_config")
    if not isinstance(text, Mapping):
        raise ConfigError("config.json has no text_config")
    missing = [key for key in REQUIRED if text.get(key) is None]
    missing += [] if raw.get("canvas_length") is not None else ["canvas_length"]
    if missing:
        raise ConfigError(f"config.json lacks {', '.join(missing)}: these keys have no defaults")
    _check_features(raw, text)
    layer_types = _layer_types(text)
    global_head_dim, global_heads = _global_shape(text, layer_types)
    optional = {
        key: text[key]
        for key in ("rms_norm_eps", "hidden_activation", "bos_token_id")
        if key in text
    }
    if text.get("pad_token_id") is not None:
        optional["pad_token_id"] = text["pad_token_id"]
    if text.get("eos_token_id") is not None:
        eos = text["eos_token_id"]
        optional["eos_token_id"] = tuple(eos) if isinstance(eos, list) else (eos,)
        if None in optional["eos_token_id"]:
            raise ConfigError(f"eos_token_id={eos!r} holds null")
    return ModelConfig(
        **{key: text[key] for key in REQUIRED},
        **optional,
        **{key: raw[key] for key in OUTER if raw.get(key) is not None},
        global_head_dim=global_head_dim,
        num_global_key_value_heads=global_heads,
        layer_types=layer_types,
        rope_parameters=_rope(text.get("rope_parameters")),
        final_logit_softcapping=text.get("final_logit_softcapping", DEFAULT_SOFTCAP),
    )


def model_config_to_dict(config: ModelConfig) -> dict[str, Any]:
    """Return the `config.json` that redraft, transformers and readers of the released checkpoint
    understand."""
    outer = {key: getattr(config, key) for key in OUTER if getattr(config, key) is not None}
    text = {
        f.name: getattr(config, f.name)
        for f in fields(config)
        if f.name not in OUTER and f.name != "rope_parameters"
    }
    text |= {
        "model_type": f"{MODEL_TYPE}_text",
        "layer_types": list(config.layer_types),
        "eos_token_id": list(config.eos_token_id),
        "rope_parameters": {
            kind: _rope_to_dict(rope) for kind, rope in config.rope_parameters.items()
        },
        "attention_bias": False,
        "tie_word_embeddings": True,
        "use_bidirectional_attention": "vision",
    }
    return {
        "architectures": [ARCHITECTURE],
        "model_type": MODEL_TYPE,
        "tie_word_embeddings": True,
        "text_config": dict(sorted(text.items())),
        **outer,
    }


def _check_features(raw: Mapping[str, Any], text: Mapping[str, Any]) -> None:
    for name, value in (
        ("attention_bias", text.get("attention_bias")),
        ("tie_word_embeddings", raw.get("tie_word_embeddings")),
        ("tie_word_embeddings", text.get("tie_word_embeddings")),
    ):
        if not isinstance(value, bool | None):
            raise ConfigError(f"{name}={value!r} must be true or false")
    if text.get("attention_bias"):
        raise ConfigError(
            "attention_bias is on: DiffusionGemma has no biases, and they would not be loaded"
        )
    if not raw.get("tie_word_embeddings", True) or not text.get("tie_word_embeddings", True):
        raise ConfigError(
            "tie_word_embeddings is off: encoder, decoder and head must share one set of weights"
        )
    if text.get("use_bidirectional_attention") == "all":
        raise ConfigError(
            "use_bidirectional_attention='all' lets the encoder see later tokens: "
            "only causal encoders are supported"
        )


def _layer_types(text: Mapping[str, Any]) -> tuple[str, ...]:
    if (named := text.get("layer_types")) is not None:
        if not isinstance(named, list) or not all(isinstance(kind, str) for kind in named):
            raise ConfigError(f"layer_types={named!r} must be a list of names")
        return tuple(named)
    # The reference's default: five sliding layers, then a full one; the last is always full.
    count = text["num_hidden_layers"]
    check_integer("num_hidden_layers", count, minimum=1, maximum=MAX_LAYERS)
    return tuple(FULL if (i + 1) % 6 == 0 or i == count - 1 else SLIDING for i in range(count))


def _global_shape(text: Mapping[str, Any], layer_types: tuple[str, ...]) -> tuple[int, int]:
    """Return the head size and the number of key-value heads of the full layers."""
    overrides = text.get("per_layer_config")
    if overrides is not None and not isinstance(overrides, Mapping):
        raise ConfigError(f"per_layer_config={overrides!r} must map layer indices to settings")
    if overrides is None:
        if text.get("global_head_dim") is None:
            raise ConfigError(
                "config.json has neither global_head_dim nor per_layer_config: "
                "the shape of full layers is missing"
            )
        heads = text.get("num_global_key_value_heads")
        return text["global_head_dim"], text["num_key_value_heads"] if heads is None else heads
    shapes: dict[str, set[tuple[int, int]]] = {SLIDING: set(), FULL: set()}
    for index, kind in enumerate(layer_types):
        layer = overrides.get(str(index), overrides.get(index, {}))
        if not isinstance(layer, Mapping):
            raise ConfigError(f"per_layer_config[{index}]={layer!r} must be an object")
        shape = tuple(layer.get(key, text[key]) for key in ("head_dim", "num_key_value_heads"))
        shapes.setdefault(kind, set()).add(shape)
    plain = (text["head_dim"], text["num_key_value_heads"])
    if len(shapes[FULL]) != 1 or shapes[SLIDING] - {plain}:
        raise ConfigError(
            "per_layer_config gives layers of one kind different shapes: "
            "all layers of a kind must have one shape"
        )
    return shapes[FULL].pop()


def _rope(raw: Mapping[str, Any] | None) -> dict[str, RopeConfig]:
    if raw is None:
        return dict(DEFAULT_ROPE)
    if not isinstance(raw, Mapping):
        raise ConfigError(f"rope_parameters={raw!r} must map kinds of layers to their settings")
    known = {f.name for f in fields(RopeConfig)}
    ropes = {}
    for kind in (SLIDING, FULL):
        given = raw.get(kind)
        if not isinstance(given, Mapping):
            raise ConfigError(f"rope_parameters has no entry for {kind!r}")
        if unknown := set(given) - known:
            raise ConfigError(
                f"rope_parameters[{kind!r}] holds {sorted(unknown)}, which are not supported"
            )
        if missing := {"rope_type", "rope_theta"} - set(given):
            raise ConfigError(f"rope_parameters[{kind!r}] lacks {sorted(missing)}")
        ropes[kind] = RopeConfig(**given)
    return ropes


def _rope_to_dict(rope: RopeConfig) -> dict[str, Any]:
    return {
        key: value
        for key, value in asdict(rope).items()
        if key in ("rope_type", "rope_theta") or value != 1.0
    }
