"""Times that can be compared: sides alternate, medians, and the machine's own rate of products."""

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


def benchmark_parser(description: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """Build a parser with the options that all benchmarks share.

    Args:
        defaults: of these options, where a benchmark has others.
    """
    from shapes import SHAPES

    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=SHAPES, default="mid", help="a shape of shapes.py")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--peer", choices=("transformers", "none"), default="transformers", help="compared with"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    parser.set_defaults(**defaults)
    return parser


def print_result(benchmark: str, args: argparse.Namespace, summary: str, **figures: Any) -> None:
    """Print a line for a person, unless --json is set, and the JSON line."""
    options = {name: value for name, value in vars(args).items() if name != "json"}
    if not args.json:
        print(summary)
    result = {"benchmark": benchmark, **options, **figures, "machine": machine(args.threads)}
    print(json.dumps(result))


def alternate(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run all sides in each round, so that other load on the machine meets them alike.

    Returns:
        The seconds of each side, one a round, as the side measured them.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            times[name].append(side())
    return times


def medians(times: Mapping[str, list[float]]) -> dict[str, float]:
    """Return the median of each side."""
    return {name: statistics.median(values) for name, values in times.items()}


def median_ratio(times: Mapping[str, list[float]], slow: str, fast: str) -> float | None:
    """Return the median of the rounds' own ratios; None where a side is missing.

    Noise that lasts longer than a round drops out of it.
    """
    if slow not in times or fast not in times:
        return None
    return statistics.median(a / b for a, b in zip(times[slow], times[fast], strict=True))


def elapsed(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def gemm_rate(dtype: torch.dtype, rounds: int = 9) -> float:
    """Return the GFLOP/s of a product of 512 x 2048 by 2048 x 2048 here, at its fastest.

    It is the best that a step can reach.
    """
    from redraft.ops.linear import linear

    a, b = torch.randn(512, 2048).to(dtype), torch.randn(2048, 2048).to(dtype)
    with torch.no_grad():
        best = min(elapsed(lambda: linear(a, b)) for _ in range(rounds))
    return 2 * 512 * 2048 * 2048 / best / 1e9


def layer_flops(shape: ModelConfig, tokens: int, seen: float, *, states: bool = True) -> float:
    """Return the multiplications and additions of all layers over `tokens` tokens.

    Args:
        seen: keys that a token sees, on average.
        states: the last layer computes hidden states; otherwise keys and values alone.
    """
    hidden, total = shape.hidden_size, 0.0
    experts = shape.top_k_experts * shape.moe_intermediate_size
    for number, layer in enumerate(shape.layers, 1):
        key_values = 1 if layer.keys_are_values else 2
        total += hidden * layer.head_dim * key_values * layer.num_key_value_heads
        if states or number < len(shape.layers):
            width = shape.num_attention_heads * layer.head_dim
            keys = seen if layer.sliding_window is None else min(seen, layer.sliding_window)
            total += 2 * hidden * width
            total += 3 * hidden * (shape.intermediate_size + experts)
            total += 2 * width * keys
    return 2.0 * tokens * total


def step_flops(shape: ModelConfig, prefix: int) -> float:
    """Return the operations of one denoising step of one canvas behind `prefix` tokens.

    Counted are the layers, attention, and the two products with the vocabulary.
    """
    length = shape.canvas_length
    vocabulary = 4.0 * length * shape.hidden_size * shape.vocab_size
    return layer_flops(shape, length, prefix + length) + vocabulary


def machine(threads: int) -> str:
    """Return the processor's name, the threads used of its cores, and the version of torch."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor()
    return f"{processor}, {threads} of {len(names)} cores, torch {torch.__version__}"
