"""Config: a GGUF file's metadata as a ModelConfig and a GenerationConfig."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from redraft.checkpoint.gguf.header import Header, Stored, Strings
from redraft.checkpoint.gguf.names import GGUF_EMBEDDING, ROPE_FACTORS
from redraft.config import GenerationConfig, ModelConfig, RopeConfig
from redraft.config.check import check_integer
from redraft.config.model import FULL, MAX_LAYERS, SLIDING
from redraft.config.special_tokens import END_OF_TURN_ID, SPECIAL_TOKENS, TOOL_RESPONSE_ID
from redraft.errors import CheckpointError

ARCHITECTURE = "diffusion-gemma"
CANVAS = "diffusion.canvas_length"
# Fields of ModelConfig, and their keys.
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
# Other keys that must be there.
REQUIRED_KEYS = (
    "attention.head_count_kv",
    "attention.sliding_window_pattern",
    "rope.freq_base",
    "rope.freq_base_swa",
)
# Keys that every DiffusionGemma has with these values, or with the values of these keys. Other
# values belong to another model.
FIXED = {
    "attention.shared_kv_layers": "0",
    "embedding_length_per_layer_input": "0",
    "attention.value_length": "attention.key_length",
    "attention.value_length_swa": "attention.key_length_swa",
    "rope.dimension_count": "attention.key_length",
    "rope.dimension_count_swa": "attention.key_length_swa",
}
# Fields of GenerationConfig, and their keys.
SAMPLER = {
    "max_denoising_steps": "diffusion.eb_max_steps",
    "t_min": "diffusion.eb_t_min",
    "t_max": "diffusion.eb_t_max",
    "entropy_bound": "diffusion.eb_entropy_bound",
    "stability_threshold": "diffusion.eb_stability_threshold",
    "confidence_threshold": "diffusion.eb_confidence_threshold",
}
TOKENS, TOKEN = "tokenizer.ggml.tokens", "tokenizer.ggml.{}_token_id"
# All end tokens, where a writer lists them.
ENDS = "tokenizer.ggml.eos_token_ids"
# These end a turn, though the metadata names one of them only.
END_TOKENS = (SPECIAL_TOKENS[END_OF_TURN_ID], SPECIAL_TOKENS[TOOL_RESPONSE_ID])
IMAGE = {"image_token_id": "<|image|>", "boi_token_id": "<|image>", "eoi_token_id": "<image|>"}
# Sizes that MAX_SIZE does not limit.
UNLIMITED = (
    "rms_norm_eps",
    "final_logit_softcapping",
    "num_hidden_layers",
    "max_position_embeddings",
)
# Limits of a config: they keep a network on the meta device small, and its sizes within 64 bits.
MAX_SIZE, MAX_TOKENS = 1 << 20, 1 << 24


def configs_of(header: Header) -> tuple[ModelConfig, GenerationConfig, list[str]]:
    """Read the configs from the metadata.

    Returns:
        The two configs, and a sentence for each problem of the tensor of rotary factors, which is a
        setting too.

    Raises:
        CheckpointError: another architecture, or missing keys.
        ConfigError: an impossible value.
    """
    path, metadata = header.path, header.metadata
    found = metadata.get("general.architecture")
    if found == "clip":
        raise CheckpointError(
            f"{path} is an image encoder alone (mmproj): such files are not read; name the text "
            "model's file, or the folder of safetensors that has both"
        )
    if found != ARCHITECTURE:
        raise CheckpointError(
            f"{path} holds a model of architecture {found!r}: only {ARCHITECTURE!r} can be loaded"
        )
    keys = [f"{ARCHITECTURE}.{key}" for key in (*SIZES.values(), *REQUIRED_KEYS)]
    if missing := [key for key in (*keys, CANVAS) if key not in metadata]:
        raise CheckpointError(f"{path} lacks {', '.join(missing)}: nothing is assumed for them")
    _check_fixed(header)
    given = {name: metadata[f"{ARCHITECTURE}.{key}"] for name, key in SIZES.items()}
    layers = given["num_hidden_layers"]
    for name, value in given.items():
        if name not in UNLIMITED:
            check_integer(name, value, minimum=1, maximum=MAX_SIZE)
    check_integer("num_hidden_layers", layers, minimum=1, maximum=MAX_LAYERS)
    kinds = _layer_kinds(header, layers)
    names, vocabulary = _token_names(header), _vocabulary(header)
    sliding_heads, full_heads = _heads(header, kinds)
    rope, problems = _rope(header, given["global_head_dim"])
    config = ModelConfig(
        **given,
        num_key_value_heads=sliding_heads,
        num_global_key_value_heads=full_heads,
        **_ids(header, names, vocabulary),
        vocab_size=vocabulary,
        canvas_length=metadata[CANVAS],
        layer_types=kinds,
        rope_parameters=rope,
    )
    return config, _generation(header, config), problems


def _check_fixed(header: Header) -> None:
    known = {key.removeprefix(f"{ARCHITECTURE}."): value for key, value in header.metadata.items()}
    for key, wanted in FIXED.items():
        right = known.get(wanted) if wanted in known else int(wanted) if wanted.isdigit() else None
        if key in known and known[key] != right:
            raise CheckpointError(
                f"{header.path} has {key} {known[key]!r}, only {right!r} can be loaded"
            )
    if known.get("rope.scaling.type", "none") != "none":
        raise CheckpointError(
            f"{header.path} has rope.scaling.type {known['rope.scaling.type']!r}, "
            "which is not implemented"
        )


def _layer_kinds(header: Header, layers: int) -> tuple[str, ...]:
    """Return the kind of each layer."""
    pattern = header.metadata[f"{ARCHITECTURE}.attention.sliding_window_pattern"]
    if (
        not isinstance(pattern, list)
        or len(pattern) != layers
        or not all(isinstance(one, bool) for one in pattern)
    ):
        raise CheckpointError(
            f"{header.path}: attention.sliding_window_pattern must be a boolean for each of "
            f"{layers} layers"
        )
    return tuple(SLIDING if one else FULL for one in pattern)


def _heads(header: Header, kinds: Sequence[str]) -> tuple[int, int]:
    """Return the numbers of key-value heads of sliding and of full layers."""
    given = header.metadata[f"{ARCHITECTURE}.attention.head_count_kv"]
    each = given if isinstance(given, list) else [given] * len(kinds)
    found: dict[str, set[int]] = {SLIDING: set(), FULL: set()}
    for kind, count in zip(kinds, each, strict=False):
        found[kind].add(count)
    found[SLIDING] = found[SLIDING] or found[FULL]
    if len(each) != len(kinds) or any(len(heads) != 1 for heads in found.values()):
        raise CheckpointError(
            f"{header.path}: attention.head_count_kv must be one number for all layers of a kind, "
            f"it is {given}"
        )
    sliding, full = found[SLIDING].pop(), found[FULL].pop()
    check_integer("num_key_value_heads", sliding, minimum=1, maximum=MAX_SIZE)
    check_integer("num_global_key_value_heads", full, minimum=1, maximum=MAX_SIZE)
    return sliding, full


def _vocabulary(header: Header) -> int:
    """Return the size of the vocabulary: of the list of tokens, or else of the embedding."""
    tokens, stored = header.metadata.get(TOKENS), header.tensors.get(GGUF_EMBEDDING)
    count = tokens.count if isinstance(tokens, Strings) else stored.shape[0] if stored else None
    if count is None:
        raise CheckpointError(
            f"{header.path} has neither {TOKENS} nor {GGUF_EMBEDDING}: its vocabulary has no size"
        )
    check_integer("vocab_size", count, minimum=1, maximum=MAX_TOKENS)
    return count


def _token_names(header: Header) -> dict[str, int]:
    """Return the ids of the special tokens that the config names, by their spelling."""
    tokens = header.metadata.get(TOKENS)
    wanted = {*END_TOKENS, *IMAGE.values()}
    texts = tokens.read() if isinstance(tokens, Strings) else []
    return {text: number for number, text in enumerate(texts) if text in wanted}


def _ids(header: Header, names: dict[str, int], vocabulary: int) -> dict[str, Any]:
    """Return the ids of special tokens that the file has, as fields of ModelConfig."""
    keys = {kind: TOKEN.format(kind) for kind in ("bos", "padding", "eos", "eot", "eom")}
    ids = {kind: header.metadata[key] for kind, key in keys.items() if key in header.metadata}
    for kind, number in ids.items():
        check_integer(keys[kind], number, minimum=0, maximum=vocabulary - 1)
    ends = [ids[kind] for kind in ("eos", "eot", "eom") if kind in ids]
    more = header.metadata.get(ENDS, [])
    if not isinstance(more, list):
        raise CheckpointError(f"{header.path}: {ENDS} must be a list of ids")
    for number in more:
        check_integer(ENDS, number, minimum=0, maximum=vocabulary - 1)
    ends += more
    ends += [names[text] for text in END_TOKENS if text in names]
    found = {name: names.get(text) for name, text in IMAGE.items()}
    found |= {"bos_token_id": ids.get("bos"), "pad_token_id": ids.get("padding")}
    there: dict[str, Any] = {name: value for name, value in found.items() if value is not None}
    return there | ({"eos_token_id": tuple(dict.fromkeys(ends))} if ends else {})


def _generation(header: Header, config: ModelConfig) -> GenerationConfig:
    """Return the sampler defaults of the file."""
    raw = {name: header.metadata[key] for name, key in SAMPLER.items() if key in header.metadata}
    return GenerationConfig.from_dict(
        {**raw, "eos_token_id": list(config.eos_token_id), "pad_token_id": config.pad_token_id}
    )


def _rope(header: Header, head_dim: int) -> tuple[dict[str, RopeConfig], list[str]]:
    """Return the rotary settings of each kind of layer, and a sentence for each problem.

    A tensor says which part of a full layer's head is rotated: its frequencies are divided by 1, or
    by a number so great that they do not turn.
    """
    bases = {
        kind: header.metadata[f"{ARCHITECTURE}.rope.freq_base{end}"]
        for kind, end in ((FULL, ""), (SLIDING, "_swa"))
    }
    stored, part, problems = header.tensors.get(ROPE_FACTORS), 1.0, []
    if stored is None:
        problems.append(f"{ROPE_FACTORS} is missing")
    elif stored.dtype != "F32" or stored.shape != (head_dim // 2,):
        problems.append(
            f"{ROPE_FACTORS} has shape {list(stored.shape)} in {stored.dtype}, "
            f"the config asks for [{head_dim // 2}] in F32"
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
                f"{header.path}: {ROPE_FACTORS} must rotate the first part of a head "
                "and leave the rest"
            )
        part = turning / len(factors)
    full = RopeConfig(rope_type="proportional", rope_theta=bases[FULL], partial_rotary_factor=part)
    return {
        FULL: full,
        SLIDING: RopeConfig(rope_type="default", rope_theta=bases[SLIDING]),
    }, problems


def _floats(stored: Stored) -> npt.NDArray[np.float32]:
    with stored.file.open("rb") as file:
        file.seek(stored.offset)
        return np.frombuffer(file.read(stored.nbytes), np.dtype("<f4"))
