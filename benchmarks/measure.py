"""Times that can be compared: both sides in turn, medians, and what the machine's own products
reach."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from redraft.config import ModelConfig


def arguments(description: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """The options that all benchmarks share."""
    from shapes import SHAPES

    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=SHAPES, default="mid")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peer", choices=("transformers", "none"), default="transformers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="the JSON line alone")
    parser.set_defaults(**defaults)
    return parser


def tell(benchmark: str, given: argparse.Namespace, words: str, **figures: Any) -> None:
    """A line for a person, unless only JSON is wanted, and one JSON line."""
    asked = {name: value for name, value in vars(given).items() if name != "json"}
    if not given.json:
        print(words)
    print(
        json.dumps({"benchmark": benchmark, **asked, **figures, "machine": machine(given.threads)})
    )


def in_turn(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds that each side says it took, all sides in each round, so that a noisy neighbour meets
    them alike."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            taken[name].append(side())
    return taken


def medians(taken: Mapping[str, list[float]]) -> dict[str, float]:
    """The median of each side."""
    return {name: statistics.median(times) for name, times in taken.items()}


def median_ratio(taken: Mapping[str, list[float]], slow: str, fast: str) -> float | None:
    """The median of the rounds' own ratios: noise that lasts longer than a round drops out. None
    where a side is missing."""
    if slow not in taken or fast not in taken:
        return None
    return statistics.median(a / b for a, b in zip(taken[slow], taken[fast], strict=True))


def seconds(work: Callable[[], object]) -> float:
    """How long work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def gemm_rate(dtype: torch.dtype, rounds: int = 9) -> float:
    """GFLOP/s of a product 512 x 2048 by 2048 x 2048 here, by its fastest way: the best that a step
    can hope for."""
    from redraft.ops.linear import linear

    a, b = torch.randn(512, 2048).to(dtype), torch.randn(2048, 2048).to(dtype)
    with torch.no_grad():
        best = min(seconds(lambda: linear(a, b)) for _ in range(rounds))
    return 2 * 512 * 2048 * 2048 / best / 1e9


def layer_flops(shape: ModelConfig, tokens: int, seen: float, *, states: bool = True) -> float:
    """Multiplications and additions of all layers over `tokens`, each of which sees `seen` keys on
    average; without `states` the last layer works out keys and values alone."""
    hidden, heads, total = shape.hidden_size, shape.num_attention_heads, 0.0
    for number, layer in enumerate(shape.layers, 1):
        total += (
            hidden
            * layer.head_dim
            * (1 if layer.keys_are_values else 2)
            * layer.num_key_value_heads
        )
        if states or number < len(shape.layers):
            total += hidden * layer.head_dim * 2 * heads
            total += (
                3
                * hidden
                * (shape.intermediate_size + shape.top_k_experts * shape.moe_intermediate_size)
            )
            total += (
                2
                * heads
                * layer.head_dim
                * (seen if layer.sliding_window is None else min(seen, layer.sliding_window))
            )
    return 2.0 * tokens * total


def step_flops(shape: ModelConfig, prefix: int) -> float:
    """Of one denoising step of one canvas: layers, attention, and the vocabulary twice."""
    length = shape.canvas_length
    vocabulary = 4.0 * length * shape.hidden_size * shape.vocab_size
    windows = layer_flops(shape, length, prefix + length)
    return windows + vocabulary


def machine(threads: int) -> str:
    """The processor's name and what of it is used."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {threads} of {len(names)} cores, torch {torch.__version__}"
