"""Canvas: the tokens being denoised, and which of them may not change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.ops.vocabulary import Allowed


@dataclass(frozen=True)
class Canvas:
    """Tokens being denoised.

    tokens: int64 [B, L]. frozen: bool [B, L], positions that keep their token from the first step
    to the output. allowed: the tokens that other positions may take; None for all.
    """

    tokens: Tensor
    frozen: Tensor
    allowed: Allowed | None = None

    def __post_init__(self) -> None:
        assert self.tokens.shape == self.frozen.shape
        assert self.frozen.dtype == torch.bool

    @classmethod
    def free(cls, tokens: Tensor) -> Canvas:
        """Return a canvas on which every position may change."""
        return cls(tokens, torch.zeros_like(tokens, dtype=torch.bool))

    def rows(self, index: Tensor | slice) -> Canvas:
        """Return the canvases at `index`."""
        return Canvas(
            self.tokens[index], self.frozen[index], self.allowed and self.allowed.rows(index)
        )

    @classmethod
    def join(cls, canvases: Sequence[Canvas]) -> Canvas:
        """Return all rows of several."""
        tokens = torch.cat([canvas.tokens for canvas in canvases])
        frozen = torch.cat([canvas.frozen for canvas in canvases])
        shapes = [canvas.tokens.shape for canvas in canvases]
        return cls(tokens, frozen, Allowed.join([canvas.allowed for canvas in canvases], shapes))

    def moved_to(self, tokens: Tensor) -> Canvas:
        """Return the canvas with other tokens [B, L]."""
        return Canvas(tokens, self.frozen, self.allowed)

    def hold(self, proposed: Tensor) -> Tensor:
        """Return `proposed` [B, L] with the frozen positions' own tokens in place."""
        return torch.where(self.frozen, self.tokens, proposed)
