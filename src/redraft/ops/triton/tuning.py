"""Measure tiles of kernels: the one taken computes what the built-in one does, and is faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# A candidate is taken where it is faster by this part: less is noise.
MIN_GAIN = 0.02
# Launches in a graph, and how often it is replayed.
LAUNCHES, REPLAYS = 20, 7
# Rounding of bfloat16, of numbers that are about as large as the greatest of the output.
TOLERANCE = 0.02

Run = Callable[[tuple[int, ...]], Tensor]
Clock = Callable[[Callable[[], object]], float]


@dataclass(frozen=True)
class TileCase:
    """One kernel on one shape.

    Attributes:
        name: under which its tile is kept.
        built_in: the tile that is used without a measurement.
        candidates: other tiles.
        run: launches the kernel with a tile and returns its output.
    """

    name: str
    built_in: tuple[int, ...]
    candidates: Sequence[tuple[int, ...]]
    run: Run
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class TileChoice:
    """The result of a measurement.

    Attributes:
        tile: the fastest, or the built-in one.
        seconds, built_in_seconds: of one launch with it, and with the built-in tile.
        refused: candidates that cannot be compiled or launched, or compute something else.
    """

    name: str
    tile: tuple[int, ...]
    seconds: float
    built_in_seconds: float
    refused: tuple[tuple[int, ...], ...] = ()


def choose_tile(case: TileCase, clock: Clock) -> TileChoice:
    """Measure a case's tiles, and return the fastest.

    Args:
        clock: returns the seconds of a call.
    """
    expected = case.run(case.built_in)
    before = clock(lambda: case.run(case.built_in))
    best, least = case.built_in, before * (1 - MIN_GAIN)
    seconds, refused = before, []
    for tile in case.candidates:
        if tile == case.built_in:
            continue
        if not _computes(case, tile, expected):
            refused.append(tile)
            continue
        try:
            spent = clock(lambda tile=tile: case.run(tile))  # type: ignore[misc]
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:  # no graph can hold it
            refused.append(tile)
            continue
        if spent < least:
            best, least, seconds = tile, spent, spent
    return TileChoice(case.name, best, seconds, before, tuple(refused))


def _computes(case: TileCase, tile: tuple[int, ...], expected: Tensor) -> bool:
    """Return True if a tile can be launched and its output is as expected but for rounding."""
    try:
        found = case.run(tile)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # a tile that is too large for the card fails in many ways
        return False
    largest = expected.float().abs().max()
    error = (found.float() - expected.float()).abs().max()
    return bool(error <= case.tolerance * largest)  # False for NaN


def device_clock(device: torch.device) -> Clock:
    """Return a clock for launches on a CUDA device: medians of graphs of many launches."""

    def clock(launch: Callable[[], object]) -> float:
        graph = torch.cuda.CUDAGraph()
        launch()
        with torch.cuda.graph(graph):
            for _ in range(LAUNCHES):
                launch()
        times: list[float] = []
        for _ in range(REPLAYS):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            graph.replay()
            end.record()
            torch.cuda.synchronize(device)
            times.append(float(begin.elapsed_time(end)) / 1e3 / LAUNCHES)
        return sorted(times)[REPLAYS // 2]

    return clock
