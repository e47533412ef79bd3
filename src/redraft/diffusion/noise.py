"""Noise: every random number of a generation, as a function of (seed, stream, canvas, step,
position, draw) and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.config.model import MAX_CANVAS
from redraft.ops.philox import WORD, philox

# Draws share the counter's first word with positions: 8 bits for one, MAX_CANVAS for the other.
DRAW_SHIFT = MAX_CANVAS.bit_length() - 1
MAX_DRAW = (1 << 8) - 1


@dataclass(frozen=True)
class Noise:
    """Noise of a batch of rows, each on its own canvas, all int64 [B].

    seed: any 64-bit number. stream: which of several texts from one seed. canvas: index of the
    canvas within the text.
    """

    seed: Tensor
    stream: Tensor
    canvas: Tensor

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, int]], device: torch.device | str = "cpu") -> Noise:
        """Build from one (seed, stream, canvas) a row; a seed is taken modulo 2**64."""
        low = [(seed & WORD, seed >> 32 & WORD, stream, canvas) for seed, stream, canvas in rows]
        table = torch.tensor(low, dtype=torch.int64, device=device)
        return cls(table[:, 0] | table[:, 1] << 32, table[:, 2], table[:, 3])

    def rows(self, index: Tensor | slice) -> Noise:
        """Return the noise of the rows at `index`."""
        return Noise(self.seed[index], self.stream[index], self.canvas[index])

    def initial(self, length: int, vocab_size: int) -> Tensor:
        """Return the random tokens that a canvas starts from, int64 [B, L]."""
        return self.at(torch.zeros_like(self.seed), length, vocab_size)[1]

    def at(
        self, step: Tensor, length: int, vocab_size: int, draw: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Return the random numbers of one step.

        Args:
            step: int64 [B], 1 for the first.
            draw: 0 to 255, which of several independent draws of the step.

        Returns:
            A uniform number in (0, 1), float64 [B, L], and a uniform token, int64 [B, L]. Draw 0
            gives the number for the sample and the token for re-noising. Tokens are scaled 32-bit
            words: each is off 1 / vocab_size by less than 2**-32.
        """
        assert 0 <= draw <= MAX_DRAW
        assert length <= 1 << DRAW_SHIFT
        position = torch.arange(length, device=self.seed.device)[None] + (draw << DRAW_SHIFT)
        counter = (position, step[:, None], self.canvas[:, None], self.stream[:, None])
        key = (self.seed & WORD)[:, None], (self.seed >> 32 & WORD)[:, None]
        first, second, third, _ = philox(counter, key)
        # 48 bits and a half: strictly inside (0, 1), and exact in float64.
        uniform = ((first << 16 | second >> 16).double() + 0.5) / 2**48
        return uniform, third * vocab_size >> 32
