"""A step's two sides: what a sampler is given beside the statistics, and what it decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from redraft.diffusion.canvas import Canvas
from redraft.diffusion.noise import Noise
from redraft.ops.vocabulary import VocabularyStatistics

# A sampler's own tensors between two steps of a canvas, by name. Each has a row per canvas first.
Memory = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class ScheduledStep:
    """The step that each row takes now.

    Attributes:
        number: int64 [B], 1 for a canvas's first step.
        limit: int64 [B], N, the steps that a canvas may take.
        temperature: float32 [B], the schedule's temperature at this step.
        fresh: int64 [B, L], uniform random tokens for the positions to re-noise.
        noise, vocab_size: the source of further random numbers; see `draw`.
        memory: what the sampler returned in `DenoisingStep.memory` at the row's last step; empty at
            a canvas's first step. Rows with and without memory never share a call.
    """

    number: Tensor
    limit: Tensor
    temperature: Tensor
    fresh: Tensor
    noise: Noise
    vocab_size: int
    memory: Memory = field(default_factory=dict)

    def draw(self, index: int) -> tuple[Tensor, Tensor]:
        """Return further random numbers of this step, the same in any batch.

        Args:
            index: 1 to 255; each index gives numbers of its own.

        Returns:
            Uniform numbers in (0, 1), float64 [B, L], and uniform tokens, int64 [B, L].
        """
        assert index >= 1, "draw 0 is that of `statistics.sample` and `fresh`"
        return self.noise.at(self.number, self.fresh.shape[1], self.vocab_size, index)

    def rows(self, index: Tensor | slice, memory: Memory) -> ScheduledStep:
        """Return the step of the rows at `index`, with their memory."""
        return ScheduledStep(
            number=self.number[index],
            limit=self.limit[index],
            temperature=self.temperature[index],
            fresh=self.fresh[index],
            noise=self.noise.rows(index),
            vocab_size=self.vocab_size,
            memory=memory,
        )


@dataclass(frozen=True)
class DenoisingStep:
    """The decision of one step. All tensors are [B, L].

    Attributes:
        canvas: int64, tokens that the next step reads.
        argmax_canvas: int64, tokens that would be committed now.
        accepted: bool, positions whose sample was kept; frozen positions count as accepted.
        entropy: float32, nats, 0 at frozen positions.
        confidence: float32, probability of the argmax token, 1 at frozen positions.
        memory: the sampler's own tensors [B, ...] for the row's next step.
    """

    canvas: Tensor
    argmax_canvas: Tensor
    accepted: Tensor
    entropy: Tensor
    confidence: Tensor
    memory: Memory = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        statistics: VocabularyStatistics,
        canvas: Canvas,
        tokens: Tensor,
        accepted: Tensor,
        memory: Memory | None = None,
    ) -> DenoisingStep:
        """Build the step that puts `tokens` int64 [B, L] on the canvas.

        Frozen positions keep their token, count as accepted, and have entropy 0 and confidence 1.
        `accepted` is bool [B, L]. The argmax canvas is that of the statistics.
        """
        return cls(
            canvas=canvas.hold(tokens),
            argmax_canvas=canvas.hold(statistics.argmax),
            accepted=accepted | canvas.frozen,
            entropy=statistics.entropy.masked_fill(canvas.frozen, 0.0),
            confidence=statistics.confidence.masked_fill(canvas.frozen, 1.0),
            memory=memory or {},
        )

    def take(self, index: Tensor | slice) -> DenoisingStep:
        """Return the step of the rows at `index`, without memory."""
        return DenoisingStep(
            self.canvas[index],
            self.argmax_canvas[index],
            self.accepted[index],
            self.entropy[index],
            self.confidence[index],
        )

    @classmethod
    def join(cls, parts: Sequence[tuple[DenoisingStep, Tensor]]) -> DenoisingStep:
        """Put together steps of groups of rows, each with the numbers int64 [n] of its rows.

        Their memories are left out."""
        order = torch.cat([rows for _, rows in parts]).argsort()

        def column(name: str) -> Tensor:
            return torch.cat([getattr(step, name) for step, _ in parts])[order]

        return cls(
            canvas=column("canvas"),
            argmax_canvas=column("argmax_canvas"),
            accepted=column("accepted"),
            entropy=column("entropy"),
            confidence=column("confidence"),
        )

    def rows(self) -> list[dict[str, tuple[Any, ...]]]:
        """Return each row as the fields of a Draft: tokens, accepted, entropy, confidence."""
        fields = {
            "tokens": self.argmax_canvas,
            "accepted": self.accepted,
            "entropy": self.entropy,
            "confidence": self.confidence,
        }
        columns = zip(*(tensor.tolist() for tensor in fields.values()), strict=True)
        return [dict(zip(fields, map(tuple, row), strict=True)) for row in columns]
