"""Confidence-threshold sampler: accept every position that is sure enough."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from redraft.config.check import check_number
from redraft.diffusion.canvas import Canvas
from redraft.diffusion.samplers.settings import column
from redraft.diffusion.samplers.sureness import sureness, surest_positions
from redraft.diffusion.step import DenoisingStep, ScheduledStep
from redraft.ops.vocabulary import VocabularyStatistics


@dataclass(frozen=True)
class ConfidenceThresholdSampler:
    """Accept all positions whose sample has at least a given probability, and always the surest.

    Source: Fast-dLLM, arXiv 2505.22618, section 3.3. There an accepted token stays for good; on
    uniform noise every position is decided anew at each step, as the network may correct it.

    Attributes:
        threshold: probability of the sample (see `sureness`), in (0, 1].
    """

    threshold: float = 0.9

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold, minimum=0, maximum=1, exclusive=True)

    def step(
        self, statistics: VocabularyStatistics, canvas: Canvas, step: ScheduledStep
    ) -> DenoisingStep:
        sure = sureness(statistics, canvas)
        one = torch.ones_like(step.number)
        accepted = (sure >= column(self.threshold, sure)) | surest_positions(sure, canvas, one)
        tokens = torch.where(accepted, statistics.sample, step.fresh)
        return DenoisingStep.of(statistics, canvas, tokens, accepted)
