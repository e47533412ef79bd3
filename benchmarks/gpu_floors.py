"""What a step must read and compute at least, and what a CUDA device reaches: the measure of
`gpu_tables.py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from redraft.config import ModelConfig

# Bytes of a weight in memory, its scales with it: groups of 64 in int4 (float32 scales would be
# more, they are bfloat16), of 16 in NVFP4.
WEIGHT_BYTES = {"bf16": 2.0, "int8": 1.0, "fp8": 1.0, "int4": 0.5 + 2 / 64, "nvfp4": 0.5 + 1 / 16}
# Copies are measured on buffers of this size, products on these rows, columns and inputs.
COPIED_BYTES = 2 << 30
PRODUCT = (256, 8192, 2816)
LARGE_PRODUCT = (8192, 8192, 8192)
REPEATS = 20


@dataclass(frozen=True)
class Phase:
    """A part of a step: bytes that are read, and floating-point operations."""

    name: str
    bytes: float
    operations: float


def phases(config: ModelConfig, form: str, prefix: int, batch: int, awake: float) -> list[Phase]:
    """Return the parts of a step: experts, other products, vocabulary, attention.

    Args:
        form: of the quantized weights. Router, embedding and self-conditioning are bfloat16.
        prefix: tokens before each canvas.
        awake: the share of experts that get a token.
    """
    rows, size = batch * config.canvas_length, config.hidden_size
    each = WEIGHT_BYTES[form]
    layers = config.num_hidden_layers
    expert = 3 * config.moe_intermediate_size * size * layers
    experts = expert * config.num_experts
    dense = 3.0 * size * config.intermediate_size * layers
    attended = kept = 0.0
    for layer in config.layers:
        narrow = layer.num_key_value_heads * layer.head_dim
        wide = config.num_attention_heads * layer.head_dim
        dense += size * (2 * wide + narrow * (1 if layer.keys_are_values else 2))
        seen = prefix if layer.sliding_window is None else min(prefix, layer.sliding_window - 1)
        kept += 2 * 2 * batch * seen * narrow
        attended += 4.0 * rows * (seen + config.canvas_length) * wide
    router = config.num_experts * size * layers
    joined = 3 * size * config.intermediate_size
    table = config.vocab_size * size
    return [
        Phase("experts", awake * experts * each, 2.0 * rows * config.top_k_experts * expert),
        Phase(
            "dense", dense * each + 2 * (router + joined), 2.0 * rows * (dense + router + joined)
        ),
        Phase("vocabulary", 2 * 2 * table, 2 * 2.0 * rows * table),
        Phase("attention", kept, attended),
    ]


def floor_seconds(parts: list[Phase], bytes_a_second: float, operations_a_second: float) -> float:
    """Return the sum over the phases of the longer of reading and computing."""
    return sum(
        max(part.bytes / bytes_a_second, part.operations / operations_a_second) for part in parts
    )


def ceilings() -> dict[str, float | str]:
    """Measure a device's copies, in bytes a second (read and written), and its products in
    bfloat16, in operations a second: those of a canvas, and large ones."""
    import torch

    pair = torch.empty(2, COPIED_BYTES, dtype=torch.uint8, device="cuda")
    found: dict[str, float | str] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "memory": float(torch.cuda.get_device_properties(0).total_memory),
        "bytes_a_second": 2 * COPIED_BYTES / _seconds(lambda: pair[0].copy_(pair[1])),
    }

    for name, (rows, columns, inputs) in {"canvas": PRODUCT, "large": LARGE_PRODUCT}.items():
        x = torch.randn(rows, inputs, device="cuda", dtype=torch.bfloat16)
        weight = torch.randn(columns, inputs, device="cuda", dtype=torch.bfloat16)
        spent = _seconds(lambda x=x, weight=weight: x @ weight.T)
        found[f"{name}_operations_a_second"] = 2 * rows * columns * inputs / spent
    return found


def _seconds(work: Callable[[], object]) -> float:
    """Return the seconds of one call, the best of three rounds."""
    import torch

    best = float("inf")
    for _ in range(3):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(REPEATS):
            work()
        torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - began) / REPEATS)
    return best
