"""Noise on what stands in an image's place: an image encoder never hits an embedding exactly."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from redraft.network import DiffusionGemma
from redraft.network.segments import ImageSpan
from redraft.train.batch import Batch

# The share of the soft tokens that lie between two embeddings, and how far from the right one.
BETWEEN, MAX_WAY = 0.1, 0.45


def with_image_noise(
    batch: Batch, network: DiffusionGemma, noise: float, generator: torch.Generator
) -> Batch:
    """Return a batch whose images have soft tokens: the embeddings in their places, and noise.

    Args:
        noise: its standard deviation, where that of the embeddings is 1. Some soft tokens also lie
            on the way to that of another place of their image.
    """

    def noisy(row: int) -> list[ImageSpan]:
        return [
            replace(one, features=_noisy(network, batch.prefix[row], one, noise, generator))
            for one in batch.images[row]
        ]

    return replace(batch, images=[noisy(row) for row in range(len(batch.images))])


@torch.no_grad()
def _noisy(
    network: DiffusionGemma,
    tokens: Tensor,
    span: ImageSpan,
    noise: float,
    generator: torch.Generator,
) -> Tensor:
    """Return soft tokens [n, H] for an image of a prefix [P]."""
    right: Tensor = network.embed(tokens[span.start : span.stop])
    count = len(right)
    other = right[torch.randint(count, (count,), generator=generator)]
    way = MAX_WAY * torch.rand(count, 1, generator=generator)
    way *= torch.rand(count, 1, generator=generator) < BETWEEN
    found = right.lerp(other, way.to(right.dtype))
    spread = noise * right.float().std() * torch.randn(right.shape, generator=generator)
    return found + spread.to(right.dtype)
