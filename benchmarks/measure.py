"""Times that can be compared: both sides in turn, medians, and what the machine's own products reach."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch


def in_turn(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds that each side says it took, all sides in each round, so that a noisy neighbour meets them alike."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            taken[name].append(side())
    return taken


def seconds(work: Callable[[], object]) -> float:
    """How long work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median_ratio(taken: Mapping[str, list[float]], slow: str, fast: str) -> float:
    """The median of the rounds' own ratios: noise that lasts longer than a round drops out."""
    return statistics.median(a / b for a, b in zip(taken[slow], taken[fast], strict=True))


def gemm_rate(dtype: torch.dtype, rounds: int = 7) -> float:
    """GFLOP/s of a product of this machine, 512 x 2048 by 2048 x 2048: the best that a step can hope for."""
    a, b = torch.randn(512, 2048).to(dtype), torch.randn(2048, 2048).to(dtype)
    best = min(seconds(lambda: torch.nn.functional.linear(a, b)) for _ in range(rounds + 2))
    return 2 * 512 * 2048 * 2048 / best / 1e9


def machine() -> str:
    """The processor's name and what of it is used."""
    names = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    processor = names[0] if names else platform.processor()
    return f"{processor}, {torch.get_num_threads()} of {torch.get_num_interop_threads()} threads, torch {torch.__version__}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
