"""StoppingCriteria: decides when a canvas is settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from redraft.config.check import check_integer, check_number
from redraft.diffusion.canvas import Canvas
from redraft.diffusion.step import DenoisingStep


@runtime_checkable
class StoppingCriteria(Protocol):
    """Decides which rows need no further step."""

    def __call__(self, step: DenoisingStep, canvas: Canvas, unchanged: Tensor) -> Tensor:
        """Return bool [B], True for a row that is settled.

        Args:
            step: what the sampler decided.
            unchanged: int64 [B], the last steps through which a row's argmax canvas stayed the
                same; 0 where it has just changed.
        """
        ...


@dataclass(frozen=True)
class StableAndConfident:
    """The criterion of the released checkpoint.

    A canvas is settled when its argmax canvas equals those of the last `stability_threshold` steps,
    and its mean entropy over the positions that are not frozen is below `confidence_threshold`
    nats. Each is a number, or a tensor [B] for rows with thresholds of their own.
    """

    stability_threshold: int | Tensor = 1
    confidence_threshold: float | Tensor = 0.005

    def __post_init__(self) -> None:
        if not isinstance(self.stability_threshold, Tensor):
            check_integer("stability_threshold", self.stability_threshold, minimum=0)
        if not isinstance(self.confidence_threshold, Tensor):
            check_number(
                "confidence_threshold", self.confidence_threshold, minimum=0, exclusive=True
            )

    def __call__(self, step: DenoisingStep, canvas: Canvas, unchanged: Tensor) -> Tensor:
        open_positions = (~canvas.frozen).sum(dim=-1)
        # A canvas with nothing open has mean entropy 0 and is settled at once.
        mean = step.entropy.sum(dim=-1) / open_positions.clamp_min(1)
        stable = unchanged >= self.stability_threshold
        return (stable & (mean < self.confidence_threshold)) | (open_positions == 0)


@dataclass(frozen=True)
class EveryPositionConfident:
    """A criterion that looks at the least sure position, not at the mean.

    A canvas is settled when the greatest entropy of its open positions is below `max_entropy` nats,
    or below `max_entropy_unchanged` where the last step left the argmax canvas as it was. The mean
    of a canvas with much padding is small also while a position is in doubt, so it needs a step of
    confirmation; the maximum does not. docs/how-to/samplers.md has the figures.
    """

    max_entropy: float = 0.02
    max_entropy_unchanged: float = 0.1

    def __post_init__(self) -> None:
        check_number("max_entropy", self.max_entropy, minimum=0)
        check_number("max_entropy_unchanged", self.max_entropy_unchanged, minimum=0)

    def __call__(self, step: DenoisingStep, canvas: Canvas, unchanged: Tensor) -> Tensor:
        # A canvas with nothing open is settled at once, whatever the limits.
        greatest = step.entropy.masked_fill(canvas.frozen, -1.0).amax(dim=-1)
        confident = greatest < self.max_entropy
        return confident | ((unchanged >= 1) & (greatest < self.max_entropy_unchanged))
