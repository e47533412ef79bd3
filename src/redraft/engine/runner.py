"""Runner: what the model is asked to do for a set of sequences, in as few passes as it takes."""

from __future__ import annotations

import torch
from torch import Tensor

from redraft.diffusion import DenoisingOptions, DenoisingState, DenoisingStep, Noise, denoise_step
from redraft.engine.sequence import Sequence
from redraft.errors import NonFiniteError
from redraft.model import DiffusionGemma


class Runner:
    """Runs passes.

    Args:
        prefill_chunk: clean tokens a pass encodes at most; longer prompts are encoded in several passes.
    """

    def __init__(self, model: DiffusionGemma, prefill_chunk: int = 2048) -> None:
        self.model = model
        self.prefill_chunk = prefill_chunk

    def encode(self, sequences: list[Sequence], now: int) -> None:
        """One causal pass over pending tokens of `sequences`, at most `prefill_chunk` in all.

        Whoever was encoded longest ago goes first, so that commits cannot keep a long prompt waiting; `now` counts steps.
        A prompt is cut at multiples of `prefill_chunk` of its own, whatever else waits, so that it is always read alike.
        """
        budget = self.prefill_chunk
        parts: list[Tensor] = []
        owners: list[Sequence] = []
        for sequence in sorted(sequences, key=lambda sequence: sequence.encoded_at):
            part = sequence.pending[: self.prefill_chunk]
            if len(part) > budget:
                break
            parts.append(torch.tensor(part, device=self.model.device))
            owners.append(sequence)
            budget -= len(part)
        if not owners:
            return
        self.model.encode(parts, [sequence.cache for sequence in owners])
        for sequence, encoded in zip(owners, parts, strict=True):
            del sequence.pending[: len(encoded)]
            sequence.writing.encoder_passes += 1
            sequence.encoded_at = now

    def denoise(self, sequences: list[Sequence]) -> tuple[DenoisingStep, list[bool]]:
        """One denoising step of every sequence, all with a canvas; their states move on.

        Returns:
            The step, a row each, and which canvases are done.

        Raises:
            NonFiniteError: a row's entropies are not finite; the message names the weights that hold NaN or infinity.
        """
        device = self.model.device
        state = DenoisingState.join([sequence.state for sequence in sequences if sequence.state is not None])
        options = DenoisingOptions.of(
            [sequence.request.config for sequence in sequences], [sequence.edits for sequence in sequences], device
        )
        noise = Noise.of([sequence.noise_row for sequence in sequences], device)
        caches = [sequence.cache for sequence in sequences]
        step, state, done = denoise_step(self.model, state, caches, options, noise)
        if not bool(step.entropy.isfinite().all()):
            raise NonFiniteError(describe_non_finite(self.model))
        for row, sequence in enumerate(sequences):
            sequence.state = state.rows(slice(row, row + 1))
        return step, done.tolist()


def describe_non_finite(model: DiffusionGemma) -> str:
    """Which weights hold NaN or infinity."""

    def broken(tensor: Tensor) -> bool:
        return not bool(tensor.isfinite().all())

    names = [name for name, tensor in model.state_dict().items() if broken(tensor)]
    if names:
        return f"the model gave NaN or infinity: {', '.join(names)} hold such numbers; load an intact checkpoint"
    return f"the model gave NaN or infinity from finite weights: the activations overflow {model.dtype}, load as float32"
