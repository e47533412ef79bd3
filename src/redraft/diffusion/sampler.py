"""From a step's statistics to the next canvas: which samples to accept, what to re-noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from redraft.diffusion.canvas import Canvas
from redraft.ops.vocabulary import VocabularyStatistics


@dataclass(frozen=True)
class DenoisingStep:
    """What one step decided, all [B, L].

    canvas: tokens the next step reads. argmax_canvas: tokens that would be committed now. accepted:
    positions whose sample was kept (frozen positions count as accepted). entropy: nats, 0 at frozen
    positions. confidence: probability of the argmax token, 1 at frozen positions.
    """

    canvas: Tensor
    argmax_canvas: Tensor
    accepted: Tensor
    entropy: Tensor
    confidence: Tensor

    def rows(self) -> list[dict[str, tuple[Any, ...]]]:
        """What a Draft tells of each row, under its names: tokens, accepted, entropy,
        confidence."""
        told = {
            "tokens": self.argmax_canvas,
            "accepted": self.accepted,
            "entropy": self.entropy,
            "confidence": self.confidence,
        }
        columns = zip(*(tensor.tolist() for tensor in told.values()), strict=True)
        return [dict(zip(told, map(tuple, row), strict=True)) for row in columns]


class Sampler(Protocol):
    """Turns statistics into a step."""

    def step(
        self, statistics: VocabularyStatistics, canvas: Canvas, fresh: Tensor
    ) -> DenoisingStep:
        """`fresh` int64 [B, L] are uniform random tokens for the positions to re-noise."""
        ...


@dataclass(frozen=True)
class EntropyBoundSampler:
    """EB-Sampler (arXiv 2505.24857): accept positions from the surest on, while the entropy before
    them is within a bound.

    The bound float32 [B] limits the mutual information of the accepted positions, so that their
    samples are nearly independent. Positions accepted at an earlier step have no privilege: what is
    not accepted now is re-noised.
    """

    entropy_bound: Tensor

    def step(
        self, statistics: VocabularyStatistics, canvas: Canvas, fresh: Tensor
    ) -> DenoisingStep:
        # Frozen positions cost nothing: outside the budget, they sort last and are set apart.
        entropy = statistics.entropy.masked_fill(canvas.frozen, torch.inf)
        ordered, order = entropy.sort(dim=-1)
        # Exclusive sum: the surest position is always accepted, so a canvas cannot stall.
        spent = ordered.cumsum(dim=-1) - ordered
        within = spent <= self.entropy_bound.unsqueeze(-1)
        accepted = torch.zeros_like(within).scatter_(-1, order, within) | canvas.frozen
        return DenoisingStep(
            canvas=canvas.hold(torch.where(accepted, statistics.sample, fresh)),
            argmax_canvas=canvas.hold(statistics.argmax),
            accepted=accepted,
            entropy=statistics.entropy.masked_fill(canvas.frozen, 0.0),
            confidence=statistics.confidence.masked_fill(canvas.frozen, 1.0),
        )
