"""Sampler: decides from a step's statistics which samples to accept and what to re-noise."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from redraft.diffusion.canvas import Canvas
from redraft.diffusion.step import DenoisingStep, ScheduledStep
from redraft.ops.vocabulary import VocabularyStatistics


@runtime_checkable
class Sampler(Protocol):
    """Turns the statistics of a step into the next canvas.

    Rows whose samplers compare equal are given to one of them together, so that a frozen dataclass
    of settings is the natural form. A sampler holds no state: what it has to remember of a row
    goes through `DenoisingStep.memory`. Its result for a row must not depend on the other rows.

    A sampler with an attribute `needs_divergence = True` is given `statistics.divergence`: float32
    [B, L], the KL divergence in nats of each position's distribution from that of the step before,
    both at this step's temperature; infinity at a canvas's first step.
    """

    def step(
        self, statistics: VocabularyStatistics, canvas: Canvas, step: ScheduledStep
    ) -> DenoisingStep:
        """Decide one step of B rows; `DenoisingStep.of` builds the result.

        Args:
            statistics: of the network's distributions at each position, all [B, L].
            canvas: what the network read.
            step: where each row stands, random numbers, and the sampler's memory.
        """
        ...


def needs_divergence(strategy: object) -> bool:
    """Return True where a sampler or a stopping criterion reads `statistics.divergence`."""
    return bool(getattr(strategy, "needs_divergence", False))
