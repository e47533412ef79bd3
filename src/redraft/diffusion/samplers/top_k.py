"""Top-k sampler: a fixed number of positions is accepted at each step."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from redraft.config.check import check_integer
from redraft.diffusion.canvas import Canvas
from redraft.diffusion.samplers.progress import progress
from redraft.diffusion.samplers.sureness import sureness, surest_positions
from redraft.diffusion.step import DenoisingStep, ScheduledStep
from redraft.ops.vocabulary import VocabularyStatistics


@dataclass(frozen=True)
class TopKSampler:
    """Accept the surest positions, as many as a fixed schedule says.

    At step n of N the surest ceil(open * n / N) of the open positions are accepted, by the
    probability of their sample (see `sureness`); ties go to the earlier position. Source: the
    linear schedule of LLaDA (arXiv 2502.09992), which is MaskGIT's (arXiv 2202.04200), here with
    the accepted set chosen anew at each step.

    Attributes:
        steps: N; None for `max_denoising_steps`. From step N on all positions are accepted.
    """

    steps: int | None = None

    def __post_init__(self) -> None:
        if self.steps is not None:
            check_integer("steps", self.steps, minimum=1)

    def step(
        self, statistics: VocabularyStatistics, canvas: Canvas, step: ScheduledStep
    ) -> DenoisingStep:
        number, limit = progress(step, self.steps)
        open_positions = (~canvas.frozen).sum(dim=-1)
        count = -(-open_positions * number // limit)
        accepted = surest_positions(sureness(statistics, canvas), canvas, count)
        tokens = torch.where(accepted, statistics.sample, step.fresh)
        return DenoisingStep.of(statistics, canvas, tokens, accepted)
