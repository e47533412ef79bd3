"""Top-k sampler: a fixed number of positions is accepted at each step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.diffusion.canvas import Canvas
from redraft.diffusion.step import DenoisingStep, ScheduledStep
from redraft.ops.vocabulary import VocabularyStatistics


@dataclass(frozen=True)
class TopKSampler:
    """Accept the surest positions, as many as a fixed schedule says.

    At step n of N the surest ceil(open * n / N) of the open positions are accepted, by the
    probability of their argmax; ties go to the earlier position. Source: the linear schedule of
    LLaDA (arXiv 2502.09992) and MaskGIT (arXiv 2202.04200), with the accepted set chosen anew at
    each step. N is `max_denoising_steps`.
    """

    def step(
        self, statistics: VocabularyStatistics, canvas: Canvas, step: ScheduledStep
    ) -> DenoisingStep:
        accepted = surest_positions(statistics.confidence, canvas, scheduled_count(canvas, step))
        tokens = torch.where(accepted, statistics.sample, step.fresh)
        return DenoisingStep.of(statistics, canvas, tokens, accepted)


def scheduled_count(canvas: Canvas, step: ScheduledStep) -> Tensor:
    """Return ceil(open * n / N), int64 [B], where `open` counts positions that are not frozen."""
    open_positions = (~canvas.frozen).sum(dim=-1)
    return -(-open_positions * step.number // step.limit)


def surest_positions(confidence: Tensor, canvas: Canvas, count: Tensor) -> Tensor:
    """Return bool [B, L], True at the `count` int64 [B] surest positions that are not frozen."""
    ranked = confidence.masked_fill(canvas.frozen, -1.0).argsort(
        dim=-1, descending=True, stable=True
    )
    rank = torch.arange(ranked.shape[1], device=ranked.device)
    within = (rank < count.unsqueeze(-1)).expand_as(ranked)
    return torch.zeros_like(canvas.frozen).scatter_(-1, ranked, within) & ~canvas.frozen
