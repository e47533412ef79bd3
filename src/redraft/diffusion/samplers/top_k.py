"""Top-k sampler: a fixed number of positions is accepted at each step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.diffusion.canvas import Canvas
from redraft.diffusion.samplers.sureness import sureness, surest_positions
from redraft.diffusion.step import DenoisingStep, ScheduledStep
from redraft.ops.vocabulary import VocabularyStatistics


@dataclass(frozen=True)
class TopKSampler:
    """Accept the surest positions, as many as a fixed schedule says.

    At step n of N the surest ceil(open * n / N) of the open positions are accepted, by the
    probability of their sample (see `sureness`); ties go to the earlier position. N is
    `max_denoising_steps`. Source: the linear schedule of LLaDA (arXiv 2502.09992), which is
    MaskGIT's (arXiv 2202.04200), here with the accepted set chosen anew at each step.
    """

    def step(
        self, statistics: VocabularyStatistics, canvas: Canvas, step: ScheduledStep
    ) -> DenoisingStep:
        accepted = surest_positions(
            sureness(statistics, canvas), canvas, scheduled_count(canvas, step)
        )
        tokens = torch.where(accepted, statistics.sample, step.fresh)
        return DenoisingStep.of(statistics, canvas, tokens, accepted)


def scheduled_count(canvas: Canvas, step: ScheduledStep) -> Tensor:
    """Return ceil(open * n / N), int64 [B], where `open` counts positions that are not frozen."""
    open_positions = (~canvas.frozen).sum(dim=-1)
    return -(-open_positions * step.number // step.limit)
