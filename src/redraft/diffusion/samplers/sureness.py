"""The surest positions of a step, by the probability of their sample."""

from __future__ import annotations

import torch
from torch import Tensor

from redraft.diffusion.canvas import Canvas
from redraft.ops.vocabulary import VocabularyStatistics


def sureness(statistics: VocabularyStatistics, canvas: Canvas) -> Tensor:
    """Return the probability of each position's sample, float32 [B, L], -1 at frozen positions.

    Only the argmax's probability is known. Another token has at most what the argmax leaves, and at
    most as much as the argmax; the smaller of the two stands for it. So a sample that is not the
    argmax never passes a threshold of 0.5.
    """
    confidence = statistics.confidence
    is_argmax = statistics.sample == statistics.argmax
    bound = torch.minimum(confidence, 1.0 - confidence)
    return torch.where(is_argmax, confidence, bound).masked_fill(canvas.frozen, -1.0)


def surest_positions(sure: Tensor, canvas: Canvas, count: Tensor) -> Tensor:
    """Return bool [B, L], True at the `count` int64 [B] surest positions that are not frozen.

    Of positions that are equally sure the first come first.
    """
    ranked = sure.argsort(dim=-1, descending=True, stable=True)
    rank = torch.arange(ranked.shape[1], device=ranked.device)
    within = (rank < count.unsqueeze(-1)).expand_as(ranked)
    return torch.zeros_like(canvas.frozen).scatter_(-1, ranked, within) & ~canvas.frozen
