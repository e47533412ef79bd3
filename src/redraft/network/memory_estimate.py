"""Memory estimates: the bytes that weights, KV cache and a step need, from the config alone."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from redraft.config import ModelConfig
from redraft.config.vision import VisionConfig
from redraft.network.segments import PREFILL_CHUNK
from redraft.network.vision.layers import BLOCK_ROWS
from redraft.ops.attention import MAX_SCORES, MIN_QUERIES
from redraft.ops.vocabulary.chunked import BLOCK, chunk_size
from redraft.ops.vocabulary.dispatch import KERNEL_POSITIONS

GIB = 1024**3
# Memory of common devices in GiB, and the share of it that a program can use.
CARDS = {
    "RTX 3060": 12, "RTX 4060 Ti / 4080": 16, "RTX 3090 / 4090 / L4": 24, "RTX 5090": 32,
    "A100 40 GB": 40, "L40S": 48, "A100 / H100 80 GB": 80, "RTX PRO 6000": 96, "H200": 141,
}  # fmt: skip
USABLE = 0.94


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes, by what they are needed for.

    Attributes:
        weights: of the text network.
        kv_cache: of all sequences.
        activations: the most that a pass holds at once.
        vocabulary: of the vocabulary pass.
        image_encoder: its weights; 0 where there is none.
        images: of the image encoder's pass over one image of its usual size.
    """

    weights: int
    kv_cache: int
    activations: int
    vocabulary: int
    image_encoder: int = 0
    images: int = 0

    @property
    def total(self) -> int:
        # The image encoder and the text network take turns: the larger pass counts.
        passes = max(self.activations + self.vocabulary, self.images)
        return self.weights + self.image_encoder + self.kv_cache + passes

    def fits(self) -> dict[str, bool]:
        """Return which common cards hold the total, by their names."""
        return {name: self.total <= size * GIB * USABLE for name, size in CARDS.items()}


def free_memory(device: torch.device) -> int:
    """Return the free bytes of a device now. For a CPU a container's limit counts too."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(
            int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")
        )
    except (OSError, StopIteration):  # not Linux: take half of the machine's memory
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return int(min(free, _left_in_cgroup()))


def _left_in_cgroup(group: Path = Path("/sys/fs/cgroup")) -> float:
    """Return the bytes that a container's memory limit leaves, infinite if there is no limit.

    Cached files that can be dropped do not count as used.
    """
    try:
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such limit ("max"), or no such system
        return math.inf
    return limit - used + int(stat.get("inactive_file", 0))


def parameter_counts(config: ModelConfig) -> dict[str, int]:
    """Return the number of parameters of each part, summed over all layers."""
    hidden, layers = config.hidden_size, config.num_hidden_layers
    attention = 0
    for layer in config.layers:
        wide, narrow = (
            config.num_attention_heads * layer.head_dim,
            layer.num_key_value_heads * layer.head_dim,
        )
        keys = narrow if layer.keys_are_values else 2 * narrow
        attention += hidden * (2 * wide + keys) + 2 * layer.head_dim
    return {
        "embedding": config.vocab_size * hidden,
        "attention": attention,
        "dense feed-forward": layers * 3 * hidden * config.intermediate_size,
        "experts": layers * config.num_experts * 3 * hidden * config.moe_intermediate_size,
        "routers": layers * (config.num_experts * (hidden + 1) + hidden),
        "norms and scalars": layers * (7 * hidden + 2) + hidden,
        "self-conditioning": 3 * hidden * config.intermediate_size + hidden,
    }


def active_parameters(config: ModelConfig) -> int:
    """Return the number of parameters that one token uses, with the embedding (as head)."""
    counts = parameter_counts(config)
    return (
        sum(counts.values())
        - counts["experts"] * (config.num_experts - config.top_k_experts) // config.num_experts
    )


def estimate_memory(
    config: ModelConfig,
    *,
    itemsize: int,
    context: int,
    batch: int = 1,
    prefill_chunk: int = PREFILL_CHUNK,
    device: torch.device | str = "cpu",
) -> MemoryEstimate:
    """Estimate the memory for a batch of sequences.

    The cache is exact: it is what `Cache` allocates. Activations are the widest moment of a pass:
    the residual and its norms in float32, the experts' gathered inputs and outputs, and attention
    scores with their softmax. Kernels on a CUDA device have no scores in memory; there the same
    bytes stand for the memory of CUDA graphs.

    Args:
        itemsize: bytes of a number, for weights, cache and activations.
        context: tokens of each sequence.
        batch: the number of sequences.
        prefill_chunk: clean tokens that one pass encodes at most.
        device: where it will run.
    """
    canvas = batch * config.canvas_length
    # One pass encodes and denoises.
    tokens = canvas + min(prefill_chunk, context)
    return MemoryEstimate(
        weights=sum(parameter_counts(config).values()) * itemsize,
        kv_cache=batch * _cache_bytes(config, context, itemsize),
        activations=_activation_bytes(config, tokens, context, itemsize),
        vocabulary=_vocabulary_bytes(config, canvas, itemsize, torch.device(device)),
    )


def image_pass_bytes(
    config: VisionConfig | None, itemsize: int, soft_tokens: int | None = None
) -> int:
    """Return the bytes of the image encoder's pass over one image, at its widest moment.

    Args:
        config: None for no image encoder: 0 bytes.
        itemsize: bytes of a number. On a CPU, which may compute in float32, give 4.
        soft_tokens: of the image; the config's budget if None.
    """
    if config is None:
        return 0
    tokens = config.budget if soft_tokens is None else soft_tokens
    patches = tokens * config.pooling_kernel_size**2
    wide = config.num_attention_heads * config.head_dim
    # Residual, its norm and the pixels; queries, keys and values, and what they become while they
    # are normed in float32 and rotated; a block of rows of the feed-forward part; one weight that
    # is widened.
    numbers = patches * (3 * config.hidden_size + config.patch_values + 6 * wide)
    numbers += min(patches, BLOCK_ROWS) * 4 * config.intermediate_size
    weight = config.intermediate_size * config.hidden_size
    return numbers * max(itemsize, 4) + patches * config.patch_values * 8 + weight * 4


def _cache_bytes(config: ModelConfig, context: int, itemsize: int) -> int:
    """Return the bytes of one sequence's KV cache."""
    numbers = 0
    for layer in config.layers:
        kept = context if layer.sliding_window is None else min(context, layer.sliding_window - 1)
        columns = kept + config.canvas_length
        numbers += 2 * columns * layer.num_key_value_heads * layer.head_dim
    return numbers * itemsize


def _activation_bytes(config: ModelConfig, tokens: int, context: int, itemsize: int) -> int:
    """Return the bytes that a pass over so many tokens holds at once."""
    gathered = config.top_k_experts * (
        config.hidden_size * (itemsize + 8) + 3 * config.moe_intermediate_size * itemsize
    )
    per_token = (
        config.hidden_size * (6 * itemsize + 8) + 3 * config.intermediate_size * itemsize + gathered
    )
    row = config.num_attention_heads * (context + config.canvas_length)
    scores = min(tokens * row, max(MAX_SCORES, MIN_QUERIES * row))
    return math.ceil(tokens * per_token + scores * (2 * itemsize + 4))


def _vocabulary_bytes(
    config: ModelConfig, positions: int, itemsize: int, device: torch.device
) -> int:
    """Return the bytes of the vocabulary pass over so many positions."""
    chunk = min(config.vocab_size, chunk_size(device))
    logits = min(positions, BLOCK) * chunk * (3 * 4 + 8 + itemsize)
    if device.type != "cpu":
        # The kernel has all logits of a block of positions.
        logits = max(logits, min(positions, KERNEL_POSITIONS) * config.vocab_size * itemsize)
    return logits + positions * config.hidden_size * (2 * itemsize + 4)
