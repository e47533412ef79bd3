"""Memory told before it is taken: what weights, cache and a step need, from the config alone."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from redraft.config import ModelConfig
from redraft.network.context import PREFILL_CHUNK
from redraft.ops.attention import ELSEWHERE, LEAST_QUERIES
from redraft.ops.vocabulary.chunked import BLOCK, chunk_size
from redraft.ops.vocabulary.dispatch import KERNEL_POSITIONS

GIB = 1024**3
# GiB of common devices, and the share of it that a program can count on.
CARDS = {
    "RTX 3060": 12, "RTX 4060 Ti / 4080": 16, "RTX 3090 / 4090 / L4": 24, "RTX 5090": 32,
    "A100 40 GB": 40, "L40S": 48, "A100 / H100 80 GB": 80, "RTX PRO 6000": 96, "H200": 141,
}  # fmt: skip
USABLE = 0.94


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes. `weights` counts the text model alone; `activations` is the largest of what a pass
    holds at once."""

    weights: int
    kv_cache: int
    activations: int
    vocabulary: int

    @property
    def total(self) -> int:
        return self.weights + self.kv_cache + self.activations + self.vocabulary

    def fits(self) -> dict[str, bool]:
        """Which common cards hold the total."""
        return {name: self.total <= size * GIB * USABLE for name, size in CARDS.items()}


def free_memory(device: torch.device) -> int:
    """Bytes that a device has to give now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(
            int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")
        )
    except (OSError, StopIteration):  # not Linux: a half of what is there
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return int(min(free, _left_in_group()))


def _left_in_group(group: Path = Path("/sys/fs/cgroup")) -> float:
    """Bytes that a container's limit leaves, where there is one: what is in use without the files
    that can be dropped."""
    try:
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such limit ("max"), or no such system
        return math.inf
    return limit - used + int(stat.get("inactive_file", 0))


def parameter_counts(config: ModelConfig) -> dict[str, int]:
    """Parameters by part, for all layers together."""
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
    """Parameters that one token passes through, the embedding (as head) among them."""
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
    """What a batch of `batch` sequences of `context` tokens each needs, at `itemsize` bytes a
    number.

    The cache is exact (it is what Cache allocates). Activations are the widest moment of a pass:
    the residual and its norms in float32, the experts' gathered inputs and outputs, and attention
    scores with their softmax. Kernels on a CUDA device have no
    scores in memory: there it is room for passes that are recorded.
    """
    canvas = config.canvas_length
    kv = 0
    for layer in config.layers:
        kept = context if layer.sliding_window is None else min(context, layer.sliding_window - 1)
        kv += 2 * (kept + canvas) * layer.num_key_value_heads * layer.head_dim * itemsize
    tokens = batch * canvas + min(prefill_chunk, context)  # one pass encodes and denoises
    gathered = config.top_k_experts * (
        config.hidden_size * (itemsize + 8) + 3 * config.moe_intermediate_size * itemsize
    )
    per_token = (
        config.hidden_size * (6 * itemsize + 8) + 3 * config.intermediate_size * itemsize + gathered
    )
    row = config.num_attention_heads * (context + canvas)
    scores = min(tokens * row, max(ELSEWHERE, LEAST_QUERIES * row))
    chunk = chunk_size(torch.device(device))
    logits = min(batch * canvas, BLOCK) * min(config.vocab_size, chunk) * (3 * 4 + 8 + itemsize)
    if (
        torch.device(device).type != "cpu"
    ):  # the kernel that reads the vocabulary has the logits of some positions whole
        logits = max(logits, min(batch * canvas, KERNEL_POSITIONS) * config.vocab_size * itemsize)
    return MemoryEstimate(
        weights=sum(parameter_counts(config).values()) * itemsize,
        kv_cache=batch * kv,
        activations=math.ceil(tokens * per_token + scores * (2 * itemsize + 4)),
        vocabulary=logits + batch * canvas * config.hidden_size * (2 * itemsize + 4),
    )
