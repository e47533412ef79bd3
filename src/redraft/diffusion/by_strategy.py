"""Run every strategy of a batch on its own rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from redraft.diffusion.canvas import Canvas
from redraft.diffusion.checked import checked_settled, checked_step
from redraft.diffusion.grouping import StrategyGroup
from redraft.diffusion.sampler import Sampler, needs_divergence
from redraft.diffusion.step import DenoisingStep, Memory, ScheduledStep
from redraft.diffusion.stopping import StoppingCriteria
from redraft.ops.vocabulary import DistributionComparison, VocabularyStatistics


def run_samplers(
    groups: Sequence[StrategyGroup[Sampler]],
    statistics: VocabularyStatistics,
    canvas: Canvas,
    step: ScheduledStep,
    memory: tuple[Memory, ...],
) -> tuple[DenoisingStep, tuple[Memory, ...]]:
    """Run each sampler on its rows; returns the step of all rows, and the memory of each."""
    if len(groups) == 1 and not any(memory):
        # The common case, without a copy: one sampler, and nothing remembered yet.
        result = _step(groups[0].strategy, statistics, canvas, step)
        return _held(result, canvas), _row_memories(result.memory, len(memory))
    after: list[Memory] = [{}] * len(memory)
    parts = []
    for group in groups:
        for rows in _alike_in_memory(group.rows, memory):
            index = torch.tensor(rows, device=canvas.tokens.device)
            theirs = step.rows(index, _joined([memory[row] for row in rows]))
            part = _step(group.strategy, statistics.rows(index), canvas.rows(index), theirs)
            parts.append((part, index))
            for row, mine in zip(rows, _row_memories(part.memory, len(rows)), strict=True):
                after[row] = mine
    return _held(DenoisingStep.join(parts), canvas), tuple(after)


def _step(
    sampler: Sampler, statistics: VocabularyStatistics, canvas: Canvas, step: ScheduledStep
) -> DenoisingStep:
    result = sampler.step(statistics, canvas, step)
    return checked_step(result, sampler, statistics, canvas, step.vocab_size)


def _held(step: DenoisingStep, canvas: Canvas) -> DenoisingStep:
    """Return the step with frozen positions as they are, whatever the sampler did to them."""
    return replace(
        step, canvas=canvas.hold(step.canvas), argmax_canvas=canvas.hold(step.argmax_canvas)
    )


def _alike_in_memory(rows: Sequence[int], memory: Sequence[Memory]) -> list[list[int]]:
    """Part rows by the names in their memory: at a canvas's first step there are none."""
    parts: dict[tuple[str, ...], list[int]] = {}
    for row in rows:
        parts.setdefault(tuple(memory[row]), []).append(row)
    return list(parts.values())


def _row_memories(memory: Memory, rows: int) -> tuple[Memory, ...]:
    """Return each row's part [1, ...] of a sampler's memory [B, ...]."""
    if not memory:
        return ({},) * rows
    parts: list[dict[str, Tensor]] = [{} for _ in range(rows)]
    for name, tensor in memory.items():
        for row, part in enumerate(parts):
            part[name] = tensor[row : row + 1]
    return tuple(parts)


def _joined(memories: Sequence[Memory]) -> Memory:
    """Return the memory [B, ...] of rows with the same sampler."""

    def joined(name: str) -> Tensor:
        return torch.cat([memory[name] for memory in memories])

    return {name: joined(name) for name in memories[0]}


def settled_rows(
    groups: Sequence[StrategyGroup[StoppingCriteria]],
    step: DenoisingStep,
    canvas: Canvas,
    unchanged: Tensor,
) -> Tensor:
    """Return which rows have settled, bool [B], each by its own criterion."""
    if len(groups) == 1:
        found = groups[0].strategy(step, canvas, unchanged)
        return checked_settled(found, groups[0].strategy, len(unchanged))
    settled = torch.zeros_like(unchanged, dtype=torch.bool)
    for group in groups:
        index = group.index
        found = group.strategy(step.take(index), canvas.rows(index), unchanged[index])
        settled[index] = checked_settled(found, group.strategy, len(group.rows))
    return settled


def comparison(
    groups: Sequence[StrategyGroup[Sampler]], before: Sequence[Tensor | None]
) -> DistributionComparison | None:
    """Return the comparison with the step before; None where no sampler asks for it.

    `before`: for each row the hidden states [L, H] of its last step, where it had one.
    """
    wanted = [False] * len(before)
    for group in groups:
        if needs_divergence(group.strategy):
            for row in group.rows:
                wanted[row] = True
    return DistributionComparison(wanted, before) if any(wanted) else None
