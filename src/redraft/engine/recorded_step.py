"""A denoising step as one CUDA graph: noise, schedule, network, sampler, stop, and the next state.

Rows that take the sampler and the stopping criterion of their settings can go this way. The graph
runs `denoise_step`, so that it decides what a step without a graph decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor

from redraft.diffusion import Canvas, DenoisingOptions, DenoisingState, Noise, denoise_step
from redraft.diffusion.denoise import Denoiser
from redraft.diffusion.grouping import StrategyGroup
from redraft.diffusion.samplers import EntropyBoundSampler
from redraft.diffusion.stopping import StableAndConfident
from redraft.engine.row import CanvasInputs, StepOfRow
from redraft.network import Cache, DiffusionGemma
from redraft.network.segments import Clean

# Outputs of the graph that are inputs of its next run: the state's tensors.
FEEDS = ((1, 0), (2, 2), (3, 3), (4, 4), (5, 5))


class _Inputs(NamedTuple):
    """Inputs of the graph: the state of B rows, their settings, their noise."""

    tokens: Tensor
    frozen: Tensor
    self_conditioning: Tensor
    argmax_canvas: Tensor
    unchanged: Tensor
    step: Tensor
    max_denoising_steps: Tensor
    t_min: Tensor
    t_max: Tensor
    temperature: Tensor
    entropy_bound: Tensor
    stability_threshold: Tensor
    confidence_threshold: Tensor
    seed: Tensor
    stream: Tensor
    canvas: Tensor


@dataclass(frozen=True)
class StepTaken:
    """A denoising step that was taken.

    Attributes:
        rows: what each row shows of it.
        state: all rows behind it.
        finite: False if the network gave NaN or infinity.
    """

    rows: list[StepOfRow]
    state: DenoisingState
    finite: bool


def record_step(
    model: DiffusionGemma,
    state: DenoisingState,
    caches: Sequence[Cache],
    options: DenoisingOptions,
    noise: Noise,
    clean: Clean | None,
) -> StepTaken | None:
    """Take a step in a CUDA graph, from state to state; None where no graph can hold it.

    Only one small tensor is read back: what the rows show.

    Args:
        clean: tokens that the same pass encodes.
    """
    if not model.records_passes:
        return None
    (sampler, *others), (stop, *other_stops) = options.samplers, options.stopping
    if others or other_stops or not _is_plain(state, options):
        return None
    bound, rule = sampler.strategy, stop.strategy
    if not isinstance(bound, EntropyBoundSampler) or not isinstance(rule, StableAndConfident):
        return None
    settings = bound.entropy_bound, rule.stability_threshold, rule.confidence_threshold
    if not all(isinstance(one, Tensor) for one in settings):
        return None  # an object of the caller's
    inputs = _Inputs(
        state.canvas.tokens, state.canvas.frozen, state.self_conditioning, state.argmax_canvas,
        state.unchanged, state.step, options.max_denoising_steps, options.t_min, options.t_max,
        options.temperature, *cast("tuple[Tensor, Tensor, Tensor]", settings),
        noise.seed, noise.stream, noise.canvas,
    )  # fmt: skip
    found = model.record("step", _step, inputs, caches, inputs.tokens, clean, FEEDS)
    if found is None:
        return None
    shown, tokens, signal, argmax, unchanged, step = found
    after = DenoisingState(
        canvas=state.canvas.moved_to(tokens),
        self_conditioning=signal,
        argmax_canvas=argmax,
        unchanged=unchanged,
        step=step,
        memory=state.memory,
        hidden_states=state.hidden_states,
    )
    rows, finite = _read_back(shown)
    return StepTaken(rows, after, finite)


def _is_plain(state: DenoisingState, options: DenoisingOptions) -> bool:
    return (
        state.canvas.allowed is None
        and not any(state.memory)
        and all(one is None for one in state.hidden_states)
        and all(one is None for one in options.edits)
        and not any(options.span_constraints)
    )


def _step(denoiser: Denoiser, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Run `denoise_step` on the inputs; return what is read back, and the state behind it."""
    given = _Inputs(*tensors)
    rows = len(given.tokens)
    state = DenoisingState(
        canvas=Canvas(given.tokens, given.frozen),
        self_conditioning=given.self_conditioning,
        argmax_canvas=given.argmax_canvas,
        unchanged=given.unchanged,
        step=given.step,
        memory=({},) * rows,
        hidden_states=(None,) * rows,
    )
    every = range(rows), slice(None)
    sampler = EntropyBoundSampler(given.entropy_bound)
    stopping = StableAndConfident(given.stability_threshold, given.confidence_threshold)
    options = DenoisingOptions(
        max_denoising_steps=given.max_denoising_steps,
        t_min=given.t_min,
        t_max=given.t_max,
        temperature=given.temperature,
        samplers=(StrategyGroup(sampler, *every),),
        stopping=(StrategyGroup(stopping, *every),),
        edits=[None] * rows,
        span_constraints=[()] * rows,
    )
    noise = Noise(given.seed, given.stream, given.canvas)
    step, after, done = denoise_step(denoiser, state, [None] * rows, options, noise)
    finite = step.entropy.isfinite().all(dim=1)
    shown = torch.cat(
        (
            step.argmax_canvas.int(),
            step.accepted.int(),
            step.entropy.view(torch.int32),
            step.confidence.view(torch.int32),
            done.int()[:, None],
            finite.int()[:, None],
        ),
        dim=1,
    )
    return (
        shown,
        after.canvas.tokens,
        after.self_conditioning,
        after.argmax_canvas,
        after.unchanged,
        after.step,
    )


def _read_back(shown: Tensor) -> tuple[list[StepOfRow], bool]:
    """Return what the rows show, and whether all of it is finite; waits for the device once."""
    if shown.is_cuda:
        pinned = torch.empty(shown.shape, dtype=shown.dtype, pin_memory=True)
        pinned.copy_(shown, non_blocking=True)
        torch.cuda.current_stream(shown.device).synchronize()
        shown = pinned
    length = (shown.shape[1] - 2) // 4
    tokens, accepted, entropy, confidence, ends = shown.split([length] * 4 + [2], dim=1)
    columns = (
        tokens.tolist(),
        accepted.bool().tolist(),
        entropy.contiguous().view(torch.float32).tolist(),
        confidence.contiguous().view(torch.float32).tolist(),
        ends[:, 0].bool().tolist(),
    )
    rows = [
        StepOfRow(tuple(tokens), tuple(accepted), tuple(entropy), tuple(confidence), done)
        for tokens, accepted, entropy, confidence, done in zip(*columns, strict=True)
    ]
    return rows, bool(ends[:, 1].all())


class Batches:
    """Keeps a batch of canvases from step to step: settings and noise as tensors, and the state.

    They are made once, as long as the same canvases take the next step together.
    """

    def __init__(self) -> None:
        self._canvases: list[CanvasInputs] = []
        self._made: tuple[DenoisingOptions, Noise] | None = None
        self._state: DenoisingState | None = None
        self._parts: list[DenoisingState] = []

    def settings_of(
        self, canvases: list[CanvasInputs], device: torch.device
    ) -> tuple[DenoisingOptions, Noise]:
        """Return the settings and the noise of canvases, one a row, on a device."""
        if self._made is None or not _same(self._canvases, canvases):
            options = DenoisingOptions.of(
                [canvas.config for canvas in canvases],
                [canvas.edits for canvas in canvases],
                device,
                [canvas.span_constraints for canvas in canvases],
                samplers=[canvas.sampler for canvas in canvases],
                stopping=[canvas.stopping for canvas in canvases],
            )
            noise = Noise.of([canvas.noise_row for canvas in canvases], device)
            self._canvases, self._made = canvases, (options, noise)
        return self._made

    def state_of(self, canvases: list[CanvasInputs]) -> DenoisingState:
        """Return the state of canvases, one a row."""
        parts = [canvas.state for canvas in canvases]
        if self._state is not None and _same(self._parts, parts):
            return self._state
        return parts[0] if len(parts) == 1 else DenoisingState.join(parts)

    def take(self, taken: StepTaken) -> list[DenoisingState]:
        """Return the state behind a step row by row; together they are known at the next one."""
        state, rows = taken.state, len(taken.rows)
        parts = [state] if rows == 1 else [state.rows(slice(at, at + 1)) for at in range(rows)]
        self._state, self._parts = state, parts
        if all(row.done for row in taken.rows):
            self._forget()
        return parts

    def _forget(self) -> None:
        self._canvases, self._made, self._state, self._parts = [], None, None, []


def _same(known: Sequence[object], given: Sequence[object]) -> bool:
    return len(known) == len(given) and all(
        one is other for one, other in zip(known, given, strict=True)
    )
