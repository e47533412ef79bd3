"""Denoise canvases: statistics -> sampler -> stop, with every row at a step of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from redraft.diffusion.by_strategy import comparison, run_samplers, settled_rows
from redraft.diffusion.noise import Noise
from redraft.diffusion.options import DenoisingOptions
from redraft.diffusion.schedule import scheduled_temperature
from redraft.diffusion.state import DenoisingState
from redraft.diffusion.step import DenoisingStep, ScheduledStep
from redraft.ops.vocabulary import Readout, VocabularyStatistics


class Denoiser(Protocol):
    """The network as the loop knows it. Caches pass through unread: they are the network's own."""

    @property
    def vocab_size(self) -> int:
        """Tokens that noise is drawn from."""
        ...

    def embed(self, tokens: Tensor) -> Tensor:
        """Return scaled embeddings [..., H] of token ids [...]."""
        ...

    def denoise(
        self, canvas: Tensor, caches: Sequence[Any], self_conditioning: Tensor, readout: Readout
    ) -> VocabularyStatistics:
        """Read canvases [B, L] behind their caches, without changing these."""
        ...


def denoise_step(
    denoiser: Denoiser,
    state: DenoisingState,
    caches: Sequence[Any],
    options: DenoisingOptions,
    noise: Noise,
) -> tuple[DenoisingStep, DenoisingState, Tensor]:
    """Take one step with every row: one pass of the network, whatever the rows' samplers.

    Returns:
        The step, the state after it, and which rows are done (bool [B]): settled, or out of steps.
    """
    canvas, number = state.canvas, state.step + 1
    uniform, fresh = noise.at(number, canvas.tokens.shape[1], denoiser.vocab_size)
    step = ScheduledStep(
        number=number,
        limit=options.max_denoising_steps,
        temperature=scheduled_temperature(options, number),
        fresh=fresh,
        noise=noise,
        vocab_size=denoiser.vocab_size,
    )
    readout = Readout(
        temperature=step.temperature,
        uniform=uniform,
        greedy=options.temperature == 0,
        edits=options.edits,
        wanted=~canvas.frozen,
        allowed=canvas.allowed,
        span_constraints=options.span_constraints,
        comparison=comparison(options.samplers, state.hidden_states),
    )
    statistics = denoiser.denoise(canvas.tokens, caches, state.self_conditioning, readout)
    result, memory = run_samplers(options.samplers, statistics, canvas, step, state.memory)

    same = (result.argmax_canvas == state.argmax_canvas).all(dim=-1)
    unchanged = torch.where(same, state.unchanged + 1, 0)
    settled = settled_rows(options.stopping, result, canvas, unchanged)
    # A frozen position's distribution is its own token: the next step hears that, not the network's
    # opinion of it.
    signal = torch.where(
        canvas.frozen.unsqueeze(-1), denoiser.embed(canvas.tokens), statistics.soft_embedding
    )
    after = DenoisingState(
        canvas=canvas.moved_to(result.canvas),
        self_conditioning=signal,
        argmax_canvas=result.argmax_canvas,
        unchanged=unchanged,
        step=number,
        memory=memory,
        hidden_states=_compared_states(readout, statistics, len(memory)),
    )
    return result, after, settled | (number >= options.max_denoising_steps)


def denoise(
    denoiser: Denoiser,
    state: DenoisingState,
    caches: Sequence[Any],
    options: DenoisingOptions,
    noise: Noise,
) -> Iterator[tuple[DenoisingStep, Tensor]]:
    """Take all steps of a batch, until its last row is done: the loop as the paper has it.

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


def _compared_states(
    readout: Readout, statistics: VocabularyStatistics, rows: int
) -> tuple[Tensor | None, ...]:
    """Return the hidden states that the next step is compared with, of the rows that ask for it."""
    if readout.comparison is None:
        return (None,) * rows
    assert statistics.hidden_states is not None
    pairs = zip(readout.comparison.wanted, statistics.hidden_states, strict=True)
    return tuple(states if wanted else None for wanted, states in pairs)
