"""Rows of the metrics of a fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from redraft.train.finetune.objective import CanvasLosses
from redraft.train.metrics import LEVELS, means_by_level

Row = dict[str, Any]
# Names of tensors in a state file begin with this.
WAITING = "waiting."
# The row of metrics before the first update.
NO_UPDATES: Row = {
    "loss": None, "loss_by_level": [None] * LEVELS, "encoder_loss": None, "step": 0,
    "learning_rate": 0.0, "examples_per_second": None, "seconds_left": None,
}  # fmt: skip


def waiting_tensors(updates: Sequence[CanvasLosses]) -> dict[str, Tensor]:
    """Return losses that are in no row yet as tensors of a state file."""
    if not updates:
        return {}
    return {
        f"{WAITING}sums": torch.stack([torch.stack((o.diffusion, o.encoder)) for o in updates]),
        f"{WAITING}counts": torch.tensor([(o.diffusion_count, o.encoder_count) for o in updates]),
        f"{WAITING}by_row": torch.stack([one.by_row for one in updates]),
        f"{WAITING}level": torch.stack([one.level for one in updates]),
    }


def waiting_losses(tensors: Mapping[str, Tensor]) -> list[CanvasLosses]:
    """Return the losses that `waiting_tensors` put into a state file."""
    names = [f"{WAITING}{name}" for name in ("sums", "counts", "by_row", "level")]
    if names[0] not in tensors:
        return []
    found = zip(*(tensors[name] for name in names), strict=True)
    return [
        CanvasLosses(sums[0], sums[1], int(counts[0]), int(counts[1]), by_row, level)
        for sums, counts, by_row, level in found
    ]


def summarise(updates: Sequence[CanvasLosses]) -> Row:
    """Return the mean losses of some batches, in nats, also by noise level; null for none."""
    level = torch.cat([one.level for one in updates])
    rows = torch.cat([one.by_row for one in updates])

    def mean(sums: list[Tensor], count: int) -> float | None:
        return float(torch.stack(sums).sum()) / count if count else None

    return {
        "loss": mean([one.diffusion for one in updates], sum(o.diffusion_count for o in updates)),
        "loss_by_level": means_by_level(level, rows),
        "encoder_loss": mean(
            [one.encoder for one in updates], sum(o.encoder_count for o in updates)
        ),
    }
