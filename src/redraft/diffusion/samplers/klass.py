"""KLASS: accept positions whose distribution has come to rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from redraft.config.check import check_integer, check_number
from redraft.diffusion.canvas import Canvas
from redraft.diffusion.samplers.settings import column
from redraft.diffusion.samplers.sureness import sureness, surest_positions
from redraft.diffusion.step import DenoisingStep, ScheduledStep
from redraft.ops.vocabulary import VocabularyStatistics


@dataclass(frozen=True)
class KlassSampler:
    """Accept positions that are confident and stable; where there are none, the surest few.

    A position is stable when the KL divergence of its distribution from that of the step before was
    below `kl_threshold` at each of the last `history` steps. Where a row has no position that is
    both, the surest ceil(open / N) are accepted, which is the share of one step in a fixed
    schedule. Source: KLASS, arXiv 2511.05664. There an accepted token stays for good; on uniform
    noise every position is decided anew at each step.

    Attributes:
        threshold: probability that the sample of an accepted position exceeds (see `sureness`).
        kl_threshold: nats.
        history: steps, at least 1.
    """

    threshold: float = 0.9
    kl_threshold: float = 0.01
    history: int = 2

    needs_divergence: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold, minimum=0, maximum=1)
        check_number("kl_threshold", self.kl_threshold, minimum=0, exclusive=True)
        check_integer("history", self.history, minimum=1)

    def step(
        self, statistics: VocabularyStatistics, canvas: Canvas, step: ScheduledStep
    ) -> DenoisingStep:
        assert statistics.divergence is not None
        below = statistics.divergence < column(self.kl_threshold, statistics.divergence)
        before = step.memory.get("stable_steps", torch.zeros_like(canvas.tokens))
        stable_steps = torch.where(below, before + 1, 0)
        sure = sureness(statistics, canvas)
        ready = (sure > column(self.threshold, sure)) & (stable_steps >= self.history)

        share = -(-(~canvas.frozen).sum(dim=-1) // step.limit)
        fallback = surest_positions(sure, canvas, share)
        accepted = torch.where(ready.any(dim=-1, keepdim=True), ready, fallback)
        tokens = torch.where(accepted, statistics.sample, step.fresh)
        memory = {"stable_steps": stable_steps}
        return DenoisingStep.of(statistics, canvas, tokens, accepted, memory)
