"""DenoisingState: where each row of a batch stands between two steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.diffusion.canvas import Canvas
from redraft.diffusion.step import Memory


@dataclass(frozen=True)
class DenoisingState:
    """Where each row stands between two steps.

    Attributes:
        canvas: what the next step reads.
        self_conditioning: [B, L, H].
        argmax_canvas: int64 [B, L], -1 before the first step.
        unchanged: int64 [B], steps through which argmax_canvas stayed the same.
        step: int64 [B], steps done.
        memory: for each row its sampler's memory, tensors [1, ...].
        hidden_states: for each row the network's final hidden states [L, H] of its last step, where
            its sampler compares steps; else None.
    """

    canvas: Canvas
    self_conditioning: Tensor
    argmax_canvas: Tensor
    unchanged: Tensor
    step: Tensor
    memory: tuple[Memory, ...]
    hidden_states: tuple[Tensor | None, ...]

    @classmethod
    def start(cls, canvas: Canvas, hidden_size: int, dtype: torch.dtype) -> DenoisingState:
        """Return the state before the first step: self-conditioning is true zeros."""
        rows = len(canvas.tokens)
        zeros = torch.zeros_like(canvas.tokens[:, 0])
        signal = torch.zeros(
            *canvas.tokens.shape, hidden_size, dtype=dtype, device=canvas.tokens.device
        )
        return cls(
            canvas=canvas,
            self_conditioning=signal,
            argmax_canvas=torch.full_like(canvas.tokens, -1),
            unchanged=zeros,
            step=zeros.clone(),
            memory=({},) * rows,
            hidden_states=(None,) * rows,
        )

    def rows(self, index: Tensor | slice) -> DenoisingState:
        """Return the rows at `index` (int64 [n] or a slice), for those that leave or go on."""
        numbers = range(len(self.memory))[index] if isinstance(index, slice) else index.tolist()
        return DenoisingState(
            canvas=self.canvas.rows(index),
            self_conditioning=self.self_conditioning[index],
            argmax_canvas=self.argmax_canvas[index],
            unchanged=self.unchanged[index],
            step=self.step[index],
            memory=tuple(self.memory[row] for row in numbers),
            hidden_states=tuple(self.hidden_states[row] for row in numbers),
        )

    @classmethod
    def join(cls, states: Sequence[DenoisingState]) -> DenoisingState:
        """Return all rows of several states, for those that enter."""
        return cls(
            canvas=Canvas.join([state.canvas for state in states]),
            self_conditioning=torch.cat([state.self_conditioning for state in states]),
            argmax_canvas=torch.cat([state.argmax_canvas for state in states]),
            unchanged=torch.cat([state.unchanged for state in states]),
            step=torch.cat([state.step for state in states]),
            memory=sum((state.memory for state in states), ()),
            hidden_states=sum((state.hidden_states for state in states), ()),
        )
