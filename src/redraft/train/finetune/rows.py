"""Rows of the metrics of a fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from redraft.train.finetune.objective import CanvasLosses
from redraft.train.metrics import LEVELS, means_by_level

Row = dict[str, Any]
# The row of metrics before the first update.
NO_UPDATES: Row = {
    "loss": None, "loss_by_level": [None] * LEVELS, "encoder_loss": None, "step": 0,
    "learning_rate": 0.0, "examples_per_second": None, "seconds_left": None,
}  # fmt: skip


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
