"""Denoise canvases: statistics -> sampler -> stop, with every row at a step of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from redraft.diffusion.canvas import Canvas
from redraft.diffusion.grouping import Group
from redraft.diffusion.noise import Noise
from redraft.diffusion.options import DenoisingOptions
from redraft.diffusion.sampler import Sampler, needs_divergence
from redraft.diffusion.schedule import scheduled_temperature
from redraft.diffusion.step import DenoisingStep, Memory, ScheduledStep
from redraft.diffusion.stopping import StoppingCriteria
from redraft.ops.vocabulary import Comparison, Readout, VocabularyStatistics


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
        comparison=_comparison(options.samplers, state.hidden_states),
    )
    statistics = denoiser.denoise(canvas.tokens, caches, state.self_conditioning, readout)
    result, memory = _sample(options.samplers, statistics, canvas, step, state.memory)

    same = (result.argmax_canvas == state.argmax_canvas).all(dim=-1)
    unchanged = torch.where(same, state.unchanged + 1, 0)
    settled = _settled(options.stopping, result, canvas, unchanged)
    # A frozen position's distribution is its own token: the next step hears that, not the network's
    # opinion of it.
    signal = torch.where(
        canvas.frozen.unsqueeze(-1), denoiser.embed(canvas.tokens), statistics.soft_embedding
    )
    after = DenoisingState(
        canvas=canvas.moved_to(canvas.hold(result.canvas)),
        self_conditioning=signal,
        argmax_canvas=result.argmax_canvas,
        unchanged=unchanged,
        step=number,
        memory=memory,
        hidden_states=_compared_states(readout.comparison, statistics, state.hidden_states),
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


def _sample(
    groups: Sequence[Group[Sampler]],
    statistics: VocabularyStatistics,
    canvas: Canvas,
    step: ScheduledStep,
    memory: tuple[Memory, ...],
) -> tuple[DenoisingStep, tuple[Memory, ...]]:
    """Run each sampler on its rows; returns the step of all rows, and the memory of each."""
    if len(groups) == 1 and not any(memory):
        # The common case, without a copy: one sampler, and nothing remembered yet.
        result = groups[0].strategy.step(statistics, canvas, step)
        return _held(result, canvas), _row_memories(result.memory, len(memory))
    after: list[Memory] = [{}] * len(memory)
    parts = []
    for group in groups:
        numbers = range(len(memory)) if group.rows is None else group.rows.tolist()
        for rows in _with_and_without_memory(numbers, memory):
            index = torch.tensor(rows, device=canvas.tokens.device)
            theirs = step.rows(index, _joined([memory[row] for row in rows]))
            part = group.strategy.step(statistics.rows(index), canvas.rows(index), theirs)
            parts.append((part, index))
            for row, mine in zip(rows, _row_memories(part.memory, len(rows)), strict=True):
                after[row] = mine
    return _held(DenoisingStep.join(parts), canvas), tuple(after)


def _held(step: DenoisingStep, canvas: Canvas) -> DenoisingStep:
    """Return the step with frozen positions as they are, whatever the sampler did to them."""
    return replace(
        step, canvas=canvas.hold(step.canvas), argmax_canvas=canvas.hold(step.argmax_canvas)
    )


def _with_and_without_memory(rows: Sequence[int], memory: Sequence[Memory]) -> list[list[int]]:
    """Part rows at a canvas's first step, which have no memory, from the others."""
    parts = [row for row in rows if memory[row]], [row for row in rows if not memory[row]]
    return [part for part in parts if part]


def _row_memories(memory: Memory, rows: int) -> tuple[Memory, ...]:
    """Return each row's part [1, ...] of a sampler's memory [B, ...]."""
    if not memory:
        return ({},) * rows
    return tuple(
        {name: tensor[row : row + 1] for name, tensor in memory.items()} for row in range(rows)
    )


def _joined(memories: Sequence[Memory]) -> Memory:
    """Return the memory [B, ...] of rows with the same sampler."""
    return {name: torch.cat([memory[name] for memory in memories]) for name in memories[0]}


def _settled(
    groups: Sequence[Group[StoppingCriteria]],
    step: DenoisingStep,
    canvas: Canvas,
    unchanged: Tensor,
) -> Tensor:
    """Return which rows have settled, bool [B], each by its own criterion."""
    if len(groups) == 1:
        return groups[0].strategy(step, canvas, unchanged)
    settled = torch.zeros_like(unchanged, dtype=torch.bool)
    for group in groups:
        index = group.index
        settled[index] = group.strategy(step.take(index), canvas.rows(index), unchanged[index])
    return settled


def _comparison(
    groups: Sequence[Group[Sampler]], before: Sequence[Tensor | None]
) -> Comparison | None:
    """Return what the vocabulary pass compares, or None where no sampler asks for it."""
    if not any(needs_divergence(group.strategy) for group in groups):
        return None
    wanted = [False] * len(before)
    for group in groups:
        if needs_divergence(group.strategy):
            numbers = range(len(before)) if group.rows is None else group.rows.tolist()
            for row in numbers:
                wanted[row] = True
    return Comparison(wanted, before)


def _compared_states(
    comparison: Comparison | None,
    statistics: VocabularyStatistics,
    before: tuple[Tensor | None, ...],
) -> tuple[Tensor | None, ...]:
    """Return the hidden states to compare the next step with, of the rows that ask for it."""
    if comparison is None:
        return (None,) * len(before)
    assert statistics.hidden_states is not None
    return tuple(
        states if wanted else None
        for wanted, states in zip(comparison.wanted, statistics.hidden_states, strict=True)
    )
