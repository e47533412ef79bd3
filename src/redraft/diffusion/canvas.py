"""Canvas: the tokens being denoised, and which of them may not change."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Canvas:
    """tokens: int64 [B, L]. frozen: bool [B, L], positions that keep their token from the first step to the output."""

    tokens: Tensor
    frozen: Tensor

    def __post_init__(self) -> None:
        assert self.tokens.shape == self.frozen.shape
        assert self.frozen.dtype == torch.bool

    @classmethod
    def free(cls, tokens: Tensor) -> Canvas:
        """A canvas on which every position may change."""
        return cls(tokens, torch.zeros_like(tokens, dtype=torch.bool))

    def hold(self, proposed: Tensor) -> Tensor:
        """`proposed` [B, L] with the frozen positions' own tokens in place."""
        return torch.where(self.frozen, self.tokens, proposed)
