"""Config: a GGUF file's metadata in the words of ModelConfig and GenerationConfig."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from redraft.checkpoint.gguf.header import Header, Stored, Strings
from redraft.checkpoint.gguf.names import EMBEDDING, ROPE
from redraft.config import GenerationConfig, ModelConfig, RopeConfig
from redraft.config.check import check_integer
from redraft.config.model import FULL, SLIDING
from redraft.errors import CheckpointError

ARCHITECTURE = "diffusion-gemma"
CANVAS = "diffusion.canvas_length"
SIZES = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "moe_intermediate_size": "expert_feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "head_dim": "attention.key_length_swa",
    "global_head_dim": "attention.key_length",
    "num_experts": "expert_count",
    "top_k_experts": "expert_used_count",
    "sliding_window": "attention.sliding_window",
    "max_position_embeddings": "context_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "final_logit_softcapping": "final_logit_softcapping",
}
OTHERS = (
    "attention.head_count_kv",
    "attention.sliding_window_pattern",
    "rope.freq_base",
    "rope.freq_base_swa",
)
# What every DiffusionGemma has alike: other values are another model.
FIXED = {
    "attention.shared_kv_layers": "0",
    "embedding_length_per_layer_input": "0",
    "attention.value_length": "attention.key_length",
    "attention.value_length_swa": "attention.key_length_swa",
    "rope.dimension_count": "attention.key_length",
    "rope.dimension_count_swa": "attention.key_length_swa",
}
SAMPLER = {
    "max_denoising_steps": "diffusion.eb_max_steps",
    "t_min": "diffusion.eb_t_min",
    "t_max": "diffusion.eb_t_max",
    "entropy_bound": "diffusion.eb_entropy_bound",
    "stability_threshold": "diffusion.eb_stability_threshold",
    "confidence_threshold": "diffusion.eb_confidence_threshold",
}
TOKENS, TOKEN = "tokenizer.ggml.tokens", "tokenizer.ggml.{}_token_id"
ENDS = ("<turn|>", "<|tool_response>")  # they end a turn, though the metadata names one end only
IMAGE = {"image_token_id": "<|image|>", "boi_token_id": "<|image>", "eoi_token_id": "<image|>"}
# Beyond these a model is no model: they keep its skeleton small and its sizes within 64 bits.
MOST_LAYERS, MOST, MOST_TOKENS = 1 << 10, 1 << 20, 1 << 24


def configs_of(header: Header) -> tuple[ModelConfig, GenerationConfig, list[str]]:
    """What the metadata says, and what is wrong with the tensor of rotary factors, which is a
    setting too.

    Raises:
        CheckpointError: another architecture, or keys that are missing. ConfigError: a value that
            cannot be.
    """
    path, metadata = header.path, header.metadata
    if (found := metadata.get("general.architecture")) != ARCHITECTURE:
        raise CheckpointError(
            f"{path} holds a model of architecture {found!r}: only {ARCHITECTURE!r} can be loaded"
        )
    if metadata.get("split.count", 0) not in (0, 1):
        raise CheckpointError(
            f"{path} is one of {metadata['split.count']} parts: join them with llama-gguf-split --merge"
        )
    keys = [f"{ARCHITECTURE}.{key}" for key in (*SIZES.values(), *OTHERS)]
    if missing := [key for key in (*keys, CANVAS) if key not in metadata]:
        raise CheckpointError(f"{path} lacks {', '.join(missing)}: nothing is assumed for them")
    _check_traits(header)
    given = {name: metadata[f"{ARCHITECTURE}.{key}"] for name, key in SIZES.items()}
    layers, wide = given["num_hidden_layers"], dict(given)
    for name in (
        "rms_norm_eps",
        "final_logit_softcapping",
        "num_hidden_layers",
        "max_position_embeddings",
    ):
        del wide[name]
    for name, value in wide.items():
        check_integer(name, value, minimum=1, maximum=MOST)
    check_integer("num_hidden_layers", layers, minimum=1, maximum=MOST_LAYERS)
    kinds = _kinds(header, layers)
    names, vocabulary = _token_names(header), _vocabulary(header)
    rope, problems = _rope(header, given["global_head_dim"])
    config = ModelConfig(
        **given,
        **_heads(header, kinds),
        **_ids(header, names, vocabulary),
        vocab_size=vocabulary,
        canvas_length=metadata[CANVAS],
        layer_types=kinds,
        rope_parameters=rope,
    )
    return config, _generation(header, config), problems


def _check_traits(header: Header) -> None:
    known = {key.removeprefix(f"{ARCHITECTURE}."): value for key, value in header.metadata.items()}
    for key, wanted in FIXED.items():
        right = known.get(wanted) if wanted in known else int(wanted) if wanted.isdigit() else None
        if key in known and known[key] != right:
            raise CheckpointError(
                f"{header.path} has {key} {known[key]!r}, only {right!r} can be loaded"
            )
    if known.get("rope.scaling.type", "none") != "none":
        raise CheckpointError(
            f"{header.path} has rope.scaling.type {known['rope.scaling.type']!r}, which is not applied"
        )


def _kinds(header: Header, layers: int) -> tuple[str, ...]:
    pattern = header.metadata[f"{ARCHITECTURE}.attention.sliding_window_pattern"]
    if (
        not isinstance(pattern, list)
        or len(pattern) != layers
        or not all(isinstance(one, bool) for one in pattern)
    ):
        raise CheckpointError(
            f"{header.path}: attention.sliding_window_pattern must say yes or no of each of {layers} layers"
        )
    return tuple(SLIDING if one else FULL for one in pattern)


def _heads(header: Header, kinds: Sequence[str]) -> dict[str, Any]:
    """Key-value heads of sliding and of full layers."""
    given = header.metadata[f"{ARCHITECTURE}.attention.head_count_kv"]
    each = given if isinstance(given, list) else [given] * len(kinds)
    found = {
        kind: {heads for heads, one in zip(each, kinds, strict=False) if one == kind}
        for kind in (SLIDING, FULL)
    }
    found[SLIDING] = found[SLIDING] or found[FULL]
    if len(each) != len(kinds) or any(len(heads) != 1 for heads in found.values()):
        raise CheckpointError(
            f"{header.path}: attention.head_count_kv must be one number for all layers of a kind, it is {given}"
        )
    heads = {
        "num_key_value_heads": found[SLIDING].pop(),
        "num_global_key_value_heads": found[FULL].pop(),
    }
    for name, value in heads.items():
        check_integer(name, value, minimum=1, maximum=MOST)
    return heads


def _vocabulary(header: Header) -> int:
    """Tokens, by the list of them or by the embedding's rows."""
    tokens, stored = header.metadata.get(TOKENS), header.tensors.get(EMBEDDING)
    count = tokens.count if isinstance(tokens, Strings) else stored.shape[0] if stored else None
    if count is None:
        raise CheckpointError(
            f"{header.path} has neither {TOKENS} nor {EMBEDDING}: its vocabulary has no size"
        )
    check_integer("vocab_size", count, minimum=1, maximum=MOST_TOKENS)
    return count


def _token_names(header: Header) -> dict[str, int]:
    """Ids of the tokens that mean something here, by their spelling."""
    tokens = header.metadata.get(TOKENS)
    wanted = {*ENDS, *IMAGE.values()}
    return (
        {text: number for number, text in enumerate(tokens.read()) if text in wanted}
        if isinstance(tokens, Strings)
        else {}
    )


def _ids(header: Header, names: dict[str, int], vocabulary: int) -> dict[str, Any]:
    """Special tokens of the config; where the file is silent its defaults stay."""
    keys = {kind: TOKEN.format(kind) for kind in ("bos", "padding", "eos", "eot", "eom")}
    ids = {kind: header.metadata[key] for kind, key in keys.items() if key in header.metadata}
    for kind, number in ids.items():
        check_integer(keys[kind], number, minimum=0, maximum=vocabulary - 1)
    ends = [ids[kind] for kind in ("eos", "eot", "eom") if kind in ids]
    ends += [names[text] for text in ENDS if text in names]
    found = {name: names.get(text) for name, text in IMAGE.items()}
    found |= {"bos_token_id": ids.get("bos"), "pad_token_id": ids.get("padding")}
    there: dict[str, Any] = {name: value for name, value in found.items() if value is not None}
    return there | ({"eos_token_id": tuple(dict.fromkeys(ends))} if ends else {})


def _generation(header: Header, config: ModelConfig) -> GenerationConfig:
    raw = {name: header.metadata[key] for name, key in SAMPLER.items() if key in header.metadata}
    return GenerationConfig.from_dict(
        {**raw, "eos_token_id": list(config.eos_token_id), "pad_token_id": config.pad_token_id}
    )


def _rope(header: Header, head_dim: int) -> tuple[dict[str, RopeConfig], list[str]]:
    """Rotary settings. Which part of a full layer's head turns is told by a tensor: its frequencies
    are divided by 1, or by something so great that they stand still."""
    bases = {
        kind: header.metadata[f"{ARCHITECTURE}.rope.freq_base{end}"]
        for kind, end in ((FULL, ""), (SLIDING, "_swa"))
    }
    stored, part, problems = header.tensors.get(ROPE), 1.0, []
    if stored is None:
        problems.append(f"{ROPE} is missing")
    elif stored.dtype != "F32" or stored.shape != (head_dim // 2,):
        problems.append(
            f"{ROPE} has shape {list(stored.shape)} in {stored.dtype}, the config asks for [{head_dim // 2}] in F32"
        )
    else:
        factors = _floats(stored)
        turning = int((factors == 1).sum())
        if (
            not turning
            or not (factors[:turning] == 1).all()
            or not (factors[turning:] >= 1e9).all()
        ):
            raise CheckpointError(
                f"{header.path}: {ROPE} does not turn the first part of a head and hold the rest, as is read"
            )
        part = turning / len(factors)
    full = RopeConfig(rope_type="proportional", rope_theta=bases[FULL], partial_rotary_factor=part)
    return {
        FULL: full,
        SLIDING: RopeConfig(rope_type="default", rope_theta=bases[SLIDING]),
    }, problems


def _floats(stored: Stored) -> Any:
    with stored.file.open("rb") as file:
        file.seek(stored.offset)
        return np.frombuffer(file.read(stored.nbytes), "<f4")
