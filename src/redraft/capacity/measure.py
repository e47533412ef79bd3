"""Measure a machine: steps of batches behind two prefixes, and the line through them."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from redraft.api import Model
from redraft.capacity.costs import Measured
from redraft.errors import ConfigError
from redraft.events import Draft, Finished

# Settings with which no canvas settles before its last step.
UNSETTLED: dict[str, Any] = {"confidence_threshold": 1e-9, "stability_threshold": 1000}
ROWS = (1, 2, 4, 8)
STEPS, ROUNDS = 8, 3
TOKENS = 24  # written from left to right
SHORT, LONG = 0.05, 0.4  # of the context: the two prefixes
LIMIT = 1024  # tokens of the longer one
Clock = Callable[[], float]
Report = Callable[[str], None]


def measure(
    model: Model,
    name: str,
    *,
    rows: Sequence[int] = ROWS,
    rounds: int = ROUNDS,
    steps: float,
    request: float,
    clock: Clock = time.perf_counter,
    report: Report = lambda _: None,
) -> Measured:
    """Measure a model on its device.

    Each round measures all, and of each figure the median of the rounds is taken, so that noise
    meets all alike.

    Args:
        name: of the model, for the file. rows: of the batches. steps: of a canvas in its use.
        request: seconds of the server for each request, beside the passes.
        clock: seconds; of the process where other load is not to count.

    Raises:
        ConfigError: the context is too short for two prefixes.
    """
    room = model.config.max_position_embeddings - model.config.canvas_length
    lengths = [max(8, int(share * min(room, LIMIT / LONG))) for share in (SHORT, LONG)]
    if lengths[1] >= room or lengths[0] >= lengths[1]:
        raise ConfigError(f"a context of {room} tokens beside a canvas is too short to measure")
    seen: dict[tuple[int, int], list[float]] = {}
    passes: dict[int, list[float]] = {}
    read: list[float] = []
    _steps_of(model, 1, lengths[0], clock)  # warm
    for number in range(rounds):
        report(f"round {number + 1} of {rounds}")
        for length in lengths:
            for count in rows:
                seen.setdefault((count, length), []).append(_steps_of(model, count, length, clock))
        for count in (rows[0], rows[-1]):
            passes.setdefault(count, []).append(_token_of(model, count, lengths[0], clock))
        read.append(_reading(model, lengths, clock))
    fixed, row, per_token = _line(seen)
    token_fixed, token_row = _token_line(passes)
    return Measured(
        model=name,
        machine=f"{platform.machine()}, {torch.get_num_threads()} threads, {model.network.device}",
        dtype=str(model.network.dtype).removeprefix("torch."),
        canvas=model.config.canvas_length,
        fixed=fixed,
        row=row,
        seen=per_token,
        prompt=statistics.median(read),
        token_fixed=token_fixed,
        token_row=token_row,
        request=request,
        steps=steps,
    )


def _prompts(model: Model, count: int, length: int, salt: int = 0) -> list[list[int]]:
    """Return prompts of ordinary tokens, no two with the same begin."""
    generator = torch.Generator().manual_seed(length * 1000 + salt)
    low, high = min(300, model.config.vocab_size // 2), model.config.vocab_size
    drawn = torch.randint(low, high, (count, length), generator=generator)
    return [list(map(int, one)) for one in drawn]


def _steps_of(model: Model, rows: int, length: int, clock: Clock) -> float:
    """Return the seconds of a denoising step, the median of a canvas."""
    times: list[float] = []
    step = 0
    for event in model.stream(
        _prompts(model, rows, length),
        max_new_tokens=model.config.canvas_length,
        max_denoising_steps=STEPS,
        max_batch_size=rows,
        seed=1,
        eos_token_id=[],
        confidence_threshold=UNSETTLED["confidence_threshold"],
        stability_threshold=UNSETTLED["stability_threshold"],
    ):
        if isinstance(event, Draft) and event.step > step:
            step = event.step
            times.append(clock())
    # The first two may still read prompts.
    return float(np.median(np.diff(times)[2:]))


def _token_of(model: Model, rows: int, length: int, clock: Clock) -> float:
    """Return the seconds of an autoregressive pass."""

    def seconds(tokens: int) -> float:
        began = clock()
        model.generate(
            _prompts(model, rows, length),
            method="autoregressive",
            max_new_tokens=tokens,
            max_batch_size=rows,
            seed=1,
            eos_token_id=[],
        )
        return clock() - began

    few = TOKENS // 4
    return max(0.0, (seconds(TOKENS) - seconds(few)) / (TOKENS - few))


def _reading(model: Model, lengths: Sequence[int], clock: Clock) -> float:
    """Return the seconds of a token of a prompt."""

    def seconds(length: int) -> float:
        began = clock()
        for event in model.stream(
            _prompts(model, 1, length, salt=1), max_new_tokens=1, max_denoising_steps=1, seed=1
        ):
            if isinstance(event, Finished):
                break
        return clock() - began

    return max(0.0, (seconds(lengths[1]) - seconds(lengths[0])) / (lengths[1] - lengths[0]))


def _line(seen: dict[tuple[int, int], list[float]]) -> tuple[float, float, float]:
    """Return the fixed seconds of a step, those of a row, and those of a row and token before it.

    Least squares of relative errors: a small batch counts as much as a large one.
    """
    keys = sorted(seen)
    times = np.array([statistics.median(seen[key]) for key in keys])
    parts = np.array([[1.0, rows, rows * length] for rows, length in keys])
    fixed, row, per_token = map(float, nonnegative(parts / times[:, None], np.ones(len(keys))))
    return fixed, row, per_token


def nonnegative(matrix: Any, target: Any) -> Any:
    """Return the least-squares solution whose numbers are not negative.

    The columns are few: every subset of them is tried.
    """
    columns = matrix.shape[1]
    best, least = np.zeros(columns), np.inf
    for subset in range(1, 1 << columns):
        chosen = [at for at in range(columns) if subset >> at & 1]
        found = np.linalg.lstsq(matrix[:, chosen], target, rcond=None)[0]
        error = float(((matrix[:, chosen] @ found - target) ** 2).sum())
        if (found >= 0).all() and error < least:
            best, least = np.zeros(columns), error
            best[chosen] = found
    return best


def _token_line(passes: dict[int, list[float]]) -> tuple[float, float]:
    """Return the fixed seconds of an autoregressive pass, and those of a row."""
    (few, first), *_, (many, last) = (
        (rows, statistics.median(times)) for rows, times in sorted(passes.items())
    )
    row = max(0.0, (last - first) / (many - few)) if many > few else 0.0
    return max(0.0, first - few * row), row
