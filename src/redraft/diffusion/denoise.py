"""Denoise canvases: statistics -> sampler -> stop, with every row at a step of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor

from redraft.diffusion.canvas import Canvas
from redraft.diffusion.noise import Noise
from redraft.diffusion.options import DenoisingOptions
from redraft.diffusion.sampler import DenoisingStep, EntropyBoundSampler
from redraft.diffusion.schedule import scheduled_temperature
from redraft.diffusion.stopping import StableAndConfident
from redraft.ops.vocabulary import Readout, VocabularyStatistics


class Denoiser(Protocol):
    """What the loop asks of a model; the caches are the model's own business and pass through
    unread."""

    @property
    def vocab_size(self) -> int:
        """Tokens that noise is drawn from."""
        ...

    def embed(self, tokens: Tensor) -> Tensor:
        """Scaled embeddings [..., H] of token ids [...]."""
        ...

    def denoise(
        self, canvas: Tensor, caches: Sequence[Any], self_conditioning: Tensor, readout: Readout
    ) -> VocabularyStatistics:
        """Read canvases [B, L] behind their caches, without changing these."""
        ...


@dataclass(frozen=True)
class DenoisingState:
    """Where each row stands between two steps.

    canvas: what the next step reads. self_conditioning: [B, L, H]. argmax_canvas: int64 [B, L], -1
    before the first step.
    unchanged: int64 [B], steps through which argmax_canvas stayed the same. step: int64 [B], steps
    done.
    """

    canvas: Canvas
    self_conditioning: Tensor
    argmax_canvas: Tensor
    unchanged: Tensor
    step: Tensor

    @classmethod
    def start(cls, canvas: Canvas, hidden_size: int, dtype: torch.dtype) -> DenoisingState:
        """Before the first step: self-conditioning is true zeros."""
        zeros = torch.zeros_like(canvas.tokens[:, 0])
        signal = torch.zeros(
            *canvas.tokens.shape, hidden_size, dtype=dtype, device=canvas.tokens.device
        )
        return cls(canvas, signal, torch.full_like(canvas.tokens, -1), zeros, zeros.clone())

    def rows(self, index: Tensor | slice) -> DenoisingState:
        """The rows at `index`, for those that leave or go on."""
        rest = (getattr(self, f.name)[index] for f in fields(self)[1:])
        return DenoisingState(self.canvas.rows(index), *rest)

    @classmethod
    def join(cls, states: Sequence[DenoisingState]) -> DenoisingState:
        """All rows of several states, for those that enter."""
        canvas = Canvas.join([state.canvas for state in states])
        rest = (torch.cat([getattr(state, f.name) for state in states]) for f in fields(cls)[1:])
        return cls(canvas, *rest)


def denoise_step(
    denoiser: Denoiser,
    state: DenoisingState,
    caches: Sequence[Any],
    options: DenoisingOptions,
    noise: Noise,
) -> tuple[DenoisingStep, DenoisingState, Tensor]:
    """One step of every row.

    Returns:
        The step, the state after it, and which rows are done (bool [B]): settled, or out of steps.
    """
    canvas, step = state.canvas, state.step + 1
    uniform, fresh = noise.at(step, canvas.tokens.shape[1], denoiser.vocab_size)
    readout = Readout(
        temperature=scheduled_temperature(options, step),
        uniform=uniform,
        greedy=options.temperature == 0,
        edits=options.edits,
        wanted=~canvas.frozen,
        allowed=canvas.allowed,
        constraints=options.constraints,
    )
    statistics = denoiser.denoise(canvas.tokens, caches, state.self_conditioning, readout)
    result = EntropyBoundSampler(options.entropy_bound).step(statistics, canvas, fresh)

    same = (result.argmax_canvas == state.argmax_canvas).all(dim=-1)
    unchanged = torch.where(same, state.unchanged + 1, 0)
    settled = StableAndConfident(options.stability_threshold, options.confidence_threshold)(
        result, canvas, unchanged
    )
    # A frozen position's distribution is its own token: the next step hears that, not the model's
    # opinion of it.
    signal = torch.where(
        canvas.frozen.unsqueeze(-1), denoiser.embed(canvas.tokens), statistics.soft_embedding
    )
    after = DenoisingState(
        canvas.moved_to(result.canvas), signal, result.argmax_canvas, unchanged, step
    )
    return result, after, settled | (step >= options.max_denoising_steps)


def denoise(
    denoiser: Denoiser,
    state: DenoisingState,
    caches: Sequence[Any],
    options: DenoisingOptions,
    noise: Noise,
) -> Iterator[tuple[DenoisingStep, Tensor]]:
    """All steps of a batch, until its last row is done: the loop as the paper has it, one state for
    all rows.

    Yields:
        Each step, and which rows are done (bool [B]). Rows that were done before go on with the
        others; whoever wants them to leave (the engine does) calls `denoise_step` and takes their
        rows out of the state.
    """
    done = torch.zeros_like(state.step, dtype=torch.bool)
    while not bool(done.all()):
        step, state, finished = denoise_step(denoiser, state, caches, options, noise)
        done = done | finished
        yield step, done
