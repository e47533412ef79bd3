"""Checks of what a user's sampler or stopping criterion returns, before anything is done with it.

A result of a wrong shape would be broadcast, and a row would then depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from redraft.diffusion.canvas import Canvas
from redraft.diffusion.samplers import SHIPPED
from redraft.diffusion.step import DenoisingStep
from redraft.errors import StrategyError
from redraft.ops.vocabulary import VocabularyStatistics

# The fields of a step, and their dtype.
FIELDS = {
    "canvas": torch.int64,
    "argmax_canvas": torch.int64,
    "accepted": torch.bool,
    "entropy": torch.float32,
    "confidence": torch.float32,
}


def checked_step(
    step: object,
    sampler: object,
    statistics: VocabularyStatistics,
    canvas: Canvas,
    vocab_size: int,
) -> DenoisingStep:
    """Return what a sampler decided about B rows.

    Values are looked at only where the sampler does not ship with redraft: that waits for the
    device.

    Raises:
        StrategyError: it is no DenoisingStep, a field has another shape or dtype, a token lies
            outside the vocabulary, or a number is not finite though the network's are.
    """
    name = f"the sampler {type(sampler).__name__}"
    if not isinstance(step, DenoisingStep):
        raise StrategyError(
            f"{name} returned {type(step).__name__}: its step must return a DenoisingStep, as "
            "DenoisingStep.of builds it"
        )
    shape = canvas.tokens.shape
    for field, dtype in FIELDS.items():
        _check_tensor(f"{name} returned a step whose {field}", getattr(step, field), shape, dtype)
    for key, tensor in step.memory.items():
        if not isinstance(tensor, Tensor) or tensor.shape[:1] != shape[:1]:
            raise StrategyError(
                f"{name} returned memory {key!r} that is no tensor with one row for each of the "
                f"{shape[0]} canvases"
            )
    if not isinstance(sampler, SHIPPED):
        _check_values(name, step, statistics, canvas, vocab_size)
    return step


def checked_settled(settled: object, criterion: object, rows: int) -> Tensor:
    """Return which of `rows` canvases a stopping criterion takes as settled, bool [B].

    Raises:
        StrategyError: it is no bool tensor [B].
    """
    name = f"what the stopping criterion {type(criterion).__name__} returned"
    return _check_tensor(name, settled, (rows,), torch.bool)


def _check_tensor(what: str, found: object, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    if not isinstance(found, Tensor):
        raise StrategyError(f"{what} is {type(found).__name__}: it must be a tensor")
    if found.shape != torch.Size(shape) or found.dtype != dtype:
        raise StrategyError(
            f"{what} is {str(found.dtype).removeprefix('torch.')} {list(found.shape)}: it must be "
            f"{str(dtype).removeprefix('torch.')} {list(shape)}"
        )
    return found


def _check_values(
    name: str,
    step: DenoisingStep,
    statistics: VocabularyStatistics,
    canvas: Canvas,
    vocab_size: int,
) -> None:
    for field in ("canvas", "argmax_canvas"):
        tokens = getattr(step, field)
        if bool(((tokens < 0) | (tokens >= vocab_size)).any()):
            raise StrategyError(
                f"{name} returned a step whose {field} holds tokens outside the vocabulary of "
                f"{vocab_size}"
            )
    if not bool(statistics.entropy[~canvas.frozen].isfinite().all()):
        return  # the network's own: its weights are to blame
    for field in ("entropy", "confidence"):
        if not bool(getattr(step, field).isfinite().all()):
            raise StrategyError(f"{name} returned a step whose {field} holds NaN or infinity")
