"""Tiny networks with random weights: every trait of the architecture, and stable denoising."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from redraft.checkpoint import save_checkpoint
from redraft.checkpoint.names import to_file
from redraft.config import GenerationConfig, ModelConfig
from redraft.config.model import FULL, SLIDING
from redraft.config.vision import VisionConfig
from redraft.network import DiffusionGemma
from redraft.network.vision import VisionEncoder
from redraft.testing.byte_tokenizer import IMAGE_TOKENS, VOCAB_SIZE, write_byte_tokenizer

# Factors of random tensors, by the end of their names; None stands for 1.5 / sqrt(head_dim). The
# final norm spreads the logits, so that a network is sure of some positions and unsure of others.
GAINS = {
    "self_conditioning.down_proj.weight": 0.1,
    "q_norm.weight": None,
    "decoder.norm.weight": 5.0,
}


def tiny_config(**changes: Any) -> ModelConfig:
    """Return a small config, with `changes` in place of its fields.

    It has four layers (sliding, full, sliding, full), eight experts, a window of 8, a canvas of 16.
    """
    layers: int = changes.get("num_hidden_layers", 4)
    settings: dict[str, Any] = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 32,
        "intermediate_size": 48,
        "moe_intermediate_size": 16,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "num_global_key_value_heads": 1,
        "global_head_dim": 16,
        "num_experts": 8,
        "top_k_experts": 2,
        "sliding_window": 8,
        "max_position_embeddings": 512,
        "canvas_length": 16,
        "layer_types": tuple(FULL if i % 2 or i == layers - 1 else SLIDING for i in range(layers)),
    }
    return ModelConfig(**settings | changes)


@torch.no_grad()
def randomise_tensors(tensors: Mapping[str, Tensor], seed: int) -> None:
    """Fill tensors in place with random weights, norms and scales too, by their names.

    Attention must not be too sharp, and self-conditioning must not amplify: a random network that
    gets its own output back at full strength turns a rounding error into another text within ten
    steps.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in tensors.items():
        if tensor.ndim <= 1:
            tensor.uniform_(0.5, 1.5, generator=generator)
        else:
            tensor.normal_(0.0, tensor.shape[-1] ** -0.5, generator=generator)
        for ending, factor in GAINS.items():
            if name.endswith(ending):
                tensor.mul_(factor if factor else 1.5 / tensor.numel() ** 0.5)


def randomise(network: DiffusionGemma, seed: int = 0) -> DiffusionGemma:
    """Fill a network with random weights and return it, ready for inference."""
    tensors = {to_file(name): tensor for name, tensor in network.state_dict().items()}
    randomise_tensors(tensors, seed)
    return network.eval().requires_grad_(False)


def tiny_model(
    seed: int = 0, *, dtype: torch.dtype = torch.float32, **changes: Any
) -> DiffusionGemma:
    """Return a network of `tiny_config(**changes)` with random weights."""
    return randomise(DiffusionGemma(tiny_config(**changes)), seed).to(dtype)


def tiny_vision_config(**changes: Any) -> VisionConfig:
    """Return the small shape of an image encoder, with `changes` in place of its fields.

    It has two layers; a soft token stands for 6 x 6 pixels, which are nine patches.
    """
    settings: dict[str, Any] = {
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "patch_size": 2,
        "pooling_kernel_size": 3,
        "position_embedding_size": 256,
        "standardize": True,
        "rms_norm_eps": 1e-6,
        "hidden_activation": "gelu_pytorch_tanh",
        "budget": 70,
    }
    return VisionConfig(**settings | changes)


def tiny_encoder(seed: int = 0, width: int = 32, **changes: Any) -> VisionEncoder:
    """Return an image encoder of `tiny_vision_config(**changes)` with random weights."""
    encoder = VisionEncoder(tiny_vision_config(**changes), width)
    randomise_tensors(encoder.state_dict(), seed)
    return encoder.eval().requires_grad_(False)


def tiny_checkpoint(
    folder: Path,
    seed: int = 0,
    *,
    max_shard_bytes: int = 5_000_000_000,
    vision: VisionEncoder | None = None,
    **changes: Any,
) -> Path:
    """Write a checkpoint of `tiny_model` with a byte tokenizer; return its folder.

    Args:
        vision: an image encoder that it gets; see `tiny_encoder`.
    """
    if vision is not None:
        names = ("boi_token_id", "image_token_id", "eoi_token_id")
        changes = dict(zip(names, IMAGE_TOKENS, strict=True)) | changes
    network = tiny_model(seed, **changes)
    config = GenerationConfig(max_new_tokens=32)
    save_checkpoint(folder, network, config, vision=vision, max_shard_bytes=max_shard_bytes)
    write_byte_tokenizer(folder, images=vision is not None)
    return folder


def random_shape(rng: random.Random) -> dict[str, Any]:
    """Draw random changes for `tiny_config`, all valid."""
    layers, kv_heads = rng.randint(2, 5), rng.choice((1, 2, 4))
    experts = rng.choice((4, 8))
    return {
        "num_hidden_layers": layers,
        "layer_types": (*rng.choices((SLIDING, FULL), k=layers - 2), SLIDING, FULL),
        "hidden_size": rng.choice((32, 48)),
        "head_dim": rng.choice((8, 16)),
        "num_key_value_heads": kv_heads,
        "global_head_dim": rng.choice((16, 24)),
        "num_global_key_value_heads": rng.choice((1, 2)),
        "num_experts": experts,
        "top_k_experts": rng.randint(1, experts // 2),
        "sliding_window": rng.choice((4, 7, 16, 40)),
        "canvas_length": rng.choice((16, 24)),
    }
