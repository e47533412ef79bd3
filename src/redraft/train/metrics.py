"""The metrics of a run: how the losses of some updates become one row of metrics.jsonl."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from redraft.train.loss import Losses

METRICS = "metrics.jsonl"
# The diffusion loss is also reported by noise level, in so many bins from 0 to 1.
LEVELS = 5

# A row of metrics.jsonl.
Metrics = dict[str, Any]


def append_metrics(path: Path, row: Metrics) -> None:
    """Append a row to the file."""
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def write_metrics(path: Path, rows: Sequence[Metrics]) -> None:
    """Write the file anew."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read_metrics(path: Path) -> list[Metrics]:
    """Read the rows of the file; none if it is missing.

    A last line that a crash cut off is left out.
    """
    rows = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def cut_metrics(path: Path, step: int) -> None:
    """Leave out the rows after a step: updates after the last save are made, and logged, again."""
    write_metrics(path, [row for row in read_metrics(path) if row["step"] <= step])


def means_by_level(level: Tensor, values: Tensor) -> list[float | None]:
    """Return the mean value of each bin of noise levels; None for one without values.

    Args:
        level, values: float32 [B], of each canvas.
    """
    bins = (level * LEVELS).long().clamp_max(LEVELS - 1)
    return [_mean(values[bins == number]) for number in range(LEVELS)]


def summarise_losses(updates: Sequence[Losses]) -> Metrics:
    """Return the mean losses of some updates, in nats; `null` for a bin or a loss without values.

    The key `prefix_loss` is there only if that loss was computed.
    """
    level = torch.cat([losses.level for losses in updates])
    by_row = torch.cat([losses.by_row for losses in updates])
    encoder = [losses.encoder.detach() for losses in updates if losses.encoder is not None]
    prefix = [losses.prefix.detach() for losses in updates if losses.prefix is not None]
    row: Metrics = {"prefix_loss": _mean(torch.stack(prefix))} if prefix else {}
    return row | {
        "loss": _mean(by_row),
        "loss_by_level": means_by_level(level, by_row),
        "encoder_loss": _mean(torch.stack(encoder)) if encoder else None,
    }


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if len(values) else None
