"""Random checkpoints of known shapes: made once, written by redraft, read by every backend."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from redraft.checkpoint import open_checkpoint, save_checkpoint
from redraft.checkpoint.source import SHIPPED
from redraft.config import GenerationConfig, ModelConfig
from redraft.config.model import FULL, SLIDING
from redraft.config.presets import PRESETS
from redraft.network import DiffusionGemma
from redraft.testing.tiny import randomise, tiny_config

MID = {
    "vocab_size": 32768,
    "hidden_size": 768,
    "intermediate_size": 576,
    "moe_intermediate_size": 192,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "num_global_key_value_heads": 1,
    "global_head_dim": 256,
    "num_experts": 32,
    "top_k_experts": 4,
    "sliding_window": 1024,
    "max_position_embeddings": 32768,
    "canvas_length": 256,
    "layer_types": (*[SLIDING] * 5, FULL, SLIDING, FULL),
}
# The shape of the released 26B: it is not run here, its memory traffic is counted.
RELEASED = PRESETS["26b"]
SHAPES = {
    "mid": ModelConfig(**MID),
    "midbig": ModelConfig(**MID | {"vocab_size": 262144}),
    "small": open_checkpoint("small").config,
    "tiny": tiny_config(vocab_size=512, canvas_length=32),  # for the benchmarks' own tests
}


def cache_folder() -> Path:
    """Return the folder of the checkpoints: $REDRAFT_BENCH_CACHE, or one in the user's cache."""
    default = Path.home() / ".cache" / "redraft-benchmarks"
    return Path(os.environ.get("REDRAFT_BENCH_CACHE", default))


def checkpoint(name: str, dtype: torch.dtype) -> Path:
    """Return the folder of a random checkpoint, written if it is missing.

    A shipped model's name gives its own folder.
    """
    if name in SHIPPED:
        return SHIPPED[name]
    folder = cache_folder() / f"{name}-{str(dtype).removeprefix('torch.')}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        network = randomise(DiffusionGemma(SHAPES[name])).to(dtype)
        save_checkpoint(folder, network, GenerationConfig(max_new_tokens=256))
    return folder


def weight_bytes(shape: ModelConfig, dtype: torch.dtype, tokens: int) -> int:
    """Return the bytes of weights that one forward pass over `tokens` tokens reads.

    Each weight is read once, and no more experts than the tokens can be sent to.
    """
    with torch.device("meta"):
        network = DiffusionGemma(shape)
    total = 0
    for name, parameter in network.named_parameters():
        share = 1.0
        if ".experts." in name:
            share = min(1.0, tokens * shape.top_k_experts / shape.num_experts)
        total += int(parameter.numel() * share)
    return total * torch.finfo(dtype).bits // 8
