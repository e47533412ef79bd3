"""When a canvas is settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from redraft.diffusion.canvas import Canvas
from redraft.diffusion.sampler import DenoisingStep


class StoppingCriteria(Protocol):
    """Says which rows need no further step."""

    def __call__(self, step: DenoisingStep, canvas: Canvas, unchanged: Tensor) -> Tensor:
        """bool [B]; `unchanged` int64 [B] counts the last steps through which a row's argmax canvas
        stayed the same."""
        ...


@dataclass(frozen=True)
class StableAndConfident:
    """Settled: the argmax canvas equals those of the last `stability_threshold` steps, and mean
    entropy over the positions that are not frozen is below `confidence_threshold` nats. Both
    [B]."""

    stability_threshold: Tensor
    confidence_threshold: Tensor

    def __call__(self, step: DenoisingStep, canvas: Canvas, unchanged: Tensor) -> Tensor:
        open_positions = (~canvas.frozen).sum(dim=-1)
        # A canvas with nothing open has mean entropy 0 and is settled at once.
        mean = step.entropy.sum(dim=-1) / open_positions.clamp_min(1)
        stable = unchanged >= self.stability_threshold
        return (stable & (mean < self.confidence_threshold)) | (open_positions == 0)
