"""GGUF files of tiny models, written by llama.cpp's own package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind

from redraft.checkpoint.gguf.names import to_gguf
from redraft.config.model import SLIDING
from redraft.config.special_tokens import SPECIAL_TOKENS
from redraft.network import DiffusionGemma
from redraft.testing import tiny_model
from redraft.text.chat_template import TURN_TEMPLATE

# Every row is a multiple of 256, so that all types fit.
WIDE: dict[str, Any] = {
    "hidden_size": 256, "intermediate_size": 256, "moe_intermediate_size": 256, "head_dim": 64, "global_head_dim": 64,
    "num_hidden_layers": 2, "num_experts": 4, "canvas_length": 8,
}  # fmt: skip
FLOATS = (Kind.F32, Kind.F16, Kind.BF16)
FEW = (Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0, Kind.Q4_K, Kind.Q5_K, Kind.Q6_K)
# Below four bits, and those whose numbers come from a table.
FEWER = (
    Kind.Q2_K, Kind.Q3_K, Kind.IQ1_S, Kind.IQ1_M, Kind.IQ2_XXS, Kind.IQ2_XS, Kind.IQ2_S, Kind.IQ3_XXS, Kind.IQ3_S,
    Kind.IQ4_NL, Kind.IQ4_XS, Kind.TQ1_0, Kind.TQ2_0, Kind.MXFP4, Kind.NVFP4,
)  # fmt: skip
# Where blocks of these types have floats, and what about they are.
HALVES = {
    Kind.Q2_K: {80: 0.005, 82: 0.005}, Kind.Q3_K: {108: 0.002}, Kind.IQ1_S: {0: 0.01}, Kind.IQ2_XXS: {0: 0.001},
    Kind.IQ2_XS: {0: 0.001}, Kind.IQ2_S: {0: 0.001}, Kind.IQ3_XXS: {0: 0.0005}, Kind.IQ3_S: {0: 0.0005},
    Kind.IQ4_NL: {0: 0.001}, Kind.IQ4_XS: {0: 0.0001}, Kind.TQ1_0: {52: 0.06}, Kind.TQ2_0: {64: 0.06}, Kind.IQ1_M: {},
    Kind.MXFP4: {}, Kind.NVFP4: {},
}  # fmt: skip
WORDS = ("▁t", "▁th", "▁the", "he", "er", "ll", "llo", "hello", "▁▁", "\n\n", "é")
MERGES = ("▁ t", "▁t h", "▁th e", "h e", "e r", "l l", "ll o", "he llo", "▁ ▁", "\n \n")
LETTERS = "▁abcdefghijklmnopqrstuvwxyz\n.,<|>"


def vocabulary() -> tuple[list[str], list[int]]:
    """384 tokens and llama.cpp's types of them: Gemma's special ones, bytes, letters and a few
    words."""
    tokens = [SPECIAL_TOKENS.get(number, f"<unused{number}>") for number in range(60)]
    tokens += [SPECIAL_TOKENS[number] for number in (98, 100, 101, 105, 106)]
    types = [
        3
        if token in SPECIAL_TOKENS.values() and "tool" not in token
        else 4
        if "tool" in token
        else 5
        for token in tokens
    ]
    for more, kind in (([f"<0x{byte:02X}>" for byte in range(256)], 6), ([*LETTERS, *WORDS], 1)):
        tokens, types = [*tokens, *more], types + [kind] * len(more)
    spare = [f"<unused{number}>" for number in range(1000, 1384 - len(tokens))]
    return tokens + spare, types + [5] * len(spare)


def few_bits(weight: np.ndarray, kind: Kind, seed: int = 0) -> np.ndarray:
    """A quantized weight: its own numbers, or random blocks of about their size where the package
    cannot quantize."""
    try:
        return gguf.quants.quantize(weight, kind)
    except NotImplementedError:
        return random_blocks(weight.shape, kind, seed)


def random_blocks(shape: tuple[int, ...], kind: Kind, seed: int = 0) -> np.ndarray:
    columns, size = gguf.GGML_QUANT_SIZES[kind]
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (*shape[:-1], shape[-1] // columns, size), dtype=np.uint8)
    half = lambda *numbers: np.array(numbers, np.float16).view(np.uint8)  # noqa: E731
    spread = 0.06 * rng.uniform(0.5, 1.5)
    if kind in HALVES:
        for at, number in HALVES[kind].items():
            blocks[..., at : at + 2] = half(number * rng.uniform(0.5, 1.5))
        if kind == Kind.IQ1_M:  # four bits of its scale in each of four places: 0.01
            four = half(0.01).view(np.uint16)[0] >> np.array([0, 4, 8, 12])
            blocks[..., 49::2] = (blocks[..., 49::2] & 15) | ((four & 15) << 4).astype(np.uint8)
        elif kind == Kind.MXFP4:
            blocks[..., 0] = rng.integers(118, 124, blocks.shape[:-1])
        elif kind == Kind.NVFP4:
            blocks[..., :4] = rng.integers(1, 24, (*blocks.shape[:-1], 4))
    elif kind == Kind.Q6_K:
        blocks[..., 208:] = half(spread / 1300)
    else:
        middle = {Kind.Q4_K: 7.5, Kind.Q5_K: 15.5, Kind.Q4_1: 7.5, Kind.Q5_1: 15.5}.get(kind)
        scale = spread / {Kind.Q4_K: 200, Kind.Q5_K: 400, Kind.Q8_0: 70}.get(kind, 8)
        sign = 1 if kind in (Kind.Q4_K, Kind.Q5_K) else -1
        numbers = (scale,) if middle is None else (scale, sign * middle * scale)
        blocks[..., : 2 * len(numbers)] = half(*numbers)
    return blocks.reshape(*shape[:-1], -1)


def metadata(model: DiffusionGemma) -> dict[str, Any]:
    """Keys and values as llama.cpp's converter writes them."""
    config, arch = model.config, "diffusion-gemma"
    sliding = [kind == SLIDING for kind in config.layer_types]
    shape = {
        "block_count": config.num_hidden_layers, "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size, "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads, "attention.head_count_kv":
        [config.num_key_value_heads if one else config.num_global_key_value_heads for one in sliding],
        "rope.freq_base": 1e6, "rope.freq_base_swa": 1e4, "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "expert_count": config.num_experts, "expert_used_count": config.top_k_experts,
        "attention.key_length": config.global_head_dim, "attention.value_length": config.global_head_dim,
        "attention.key_length_swa": config.head_dim, "attention.value_length_swa": config.head_dim,
        "final_logit_softcapping": 30.0, "attention.sliding_window": config.sliding_window,
        "attention.shared_kv_layers": 0, "embedding_length_per_layer_input": 0, "attention.sliding_window_pattern": sliding,
        "expert_feed_forward_length": config.moe_intermediate_size, "rope.dimension_count": config.global_head_dim,
        "rope.dimension_count_swa": config.head_dim, "attention.causal": False,
    }  # fmt: skip
    tokens, types = vocabulary()
    ids = {"bos": 2, "eos": 1, "unknown": 3, "padding": 0, "mask": 4}
    return {
        **{f"{arch}.{key}": value for key, value in shape.items()},
        "diffusion.canvas_length": config.canvas_length,
        "diffusion.eb_max_steps": 12, "diffusion.eb_t_min": 0.3,
        "tokenizer.ggml.model": "gemma4", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.scores": [0.0] * len(tokens), "tokenizer.ggml.merges": list(MERGES),
        **{f"tokenizer.ggml.{name}_token_id": number for name, number in ids.items()},
        "tokenizer.chat_template": TURN_TEMPLATE,
    }  # fmt: skip


def write(
    path: Path,
    kind_of: Callable[[str], Kind] | Kind = Kind.F32,
    *,
    model: DiffusionGemma | None = None,
    keys: Mapping[str, Any] | None = None,
    edit: Callable[[dict[str, tuple[np.ndarray, Kind]]], object] | None = None,
    arch: str = "diffusion-gemma",
    split: int = 0,
) -> DiffusionGemma:
    """Write a model and return its twin, which has the numbers that the file holds.

    Args:
        kind_of: a matrix's type, by its name in the file. keys: metadata over the usual; None
            leaves a key out.
        edit: changes tensors by name, each an array (of bytes, if quantized) and its type.
        split: tensors of each part; 0 for one file.
    """
    model = model or tiny_model(**WIDE)
    tensors: dict[str, tuple[np.ndarray, Kind]] = {}
    twin = {}
    for number, (name, tensor) in enumerate(model.state_dict().items()):
        stored = to_gguf(name)
        kind = (
            Kind.F32
            if tensor.ndim == 1
            else kind_of
            if isinstance(kind_of, Kind)
            else kind_of(stored)
        )
        data = few_bits(tensor.numpy(), kind, number)
        tensors[stored] = data, kind
        twin[name] = torch.from_numpy(
            np.array(gguf.quants.dequantize(data, kind), np.float32)
        ).reshape(tensor.shape)
    half = model.config.global_head_dim // 2
    tensors["rope_freqs.weight"] = (
        np.array([1.0] * (half // 4) + [1e30] * (half - half // 4), np.float32),
        Kind.F32,
    )
    if edit:
        edit(tensors)
    _write_file(path, arch, metadata(model) | dict(keys or {}), tensors, split)
    model = DiffusionGemma(model.config).eval().requires_grad_(False)
    model.load_state_dict(twin)
    return model


def _write_file(
    path: Path,
    arch: str,
    keys: Mapping[str, Any],
    tensors: Mapping[str, tuple[np.ndarray, Kind]],
    split: int,
) -> None:
    writer = gguf.GGUFWriter(path, arch, split_max_tensors=split)
    add_metadata(writer, keys)
    for name, (data, kind) in tensors.items():
        if kind in (Kind.F32, Kind.F16):
            writer.add_tensor(name, data)
        else:
            writer.add_tensor(name, data.view(np.uint8), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_metadata(writer: gguf.GGUFWriter, keys: Mapping[str, Any]) -> None:
    """Keys and values; what is None is left out."""
    for key, value in keys.items():
        if value is not None:
            kind = gguf.GGUFValueType.get_type(value)
            whole = (
                gguf.GGUFValueType.UINT32
                if kind == gguf.GGUFValueType.INT32 and value >= 0
                else kind
            )
            writer.add_key_value(key, value, whole)
