"""EB-Sampler: the sampler of the released checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.config.check import check_number
from redraft.diffusion.canvas import Canvas
from redraft.diffusion.samplers.settings import column
from redraft.diffusion.step import DenoisingStep, ScheduledStep
from redraft.ops.vocabulary import VocabularyStatistics


@dataclass(frozen=True)
class EntropyBoundSampler:
    """Accept positions from the surest on, while the entropy before them is within a bound.

    Source: EB-Sampler, arXiv 2505.24857. The bound, in nats, limits the mutual information of the
    accepted positions, so that their samples are nearly independent. Positions accepted at an
    earlier step have no privilege: a position that is not accepted now is re-noised.

    Attributes:
        entropy_bound: a number, or float32 [B] for rows with bounds of their own.
    """

    entropy_bound: float | Tensor = 0.1

    def __post_init__(self) -> None:
        if not isinstance(self.entropy_bound, Tensor):
            check_number("entropy_bound", self.entropy_bound, minimum=0, exclusive=True)

    def step(
        self, statistics: VocabularyStatistics, canvas: Canvas, step: ScheduledStep
    ) -> DenoisingStep:
        # Frozen positions cost nothing: outside the budget, they sort last and are set apart.
        entropy = statistics.entropy.masked_fill(canvas.frozen, torch.inf)
        ordered, order = entropy.sort(dim=-1)
        # Exclusive sum: the surest position is always accepted, so a canvas cannot stall.
        spent = ordered.cumsum(dim=-1) - ordered
        within = spent <= column(self.entropy_bound, like=spent)
        accepted = torch.zeros_like(within).scatter_(-1, order, within)
        tokens = torch.where(accepted, statistics.sample, step.fresh)
        return DenoisingStep.of(statistics, canvas, tokens, accepted)
