"""Runner: what the model is asked to do for a set of sequences, in as few passes as it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from redraft.diffusion import DenoisingOptions, DenoisingState, DenoisingStep, Noise, denoise_step
from redraft.engine.sequence import Sequence
from redraft.errors import NonFiniteError
from redraft.network import PREFILL_CHUNK, DiffusionGemma
from redraft.network.context import Clean
from redraft.ops.vocabulary import Readout, VocabularyStatistics

Part = tuple[Sequence, Tensor]  # a sequence, and the tokens of it that a pass encodes, int64 [n]


class Runner:
    """Runs passes.

    Args:
        prefill_chunk: clean tokens a pass encodes at most; longer prompts are encoded in several
            passes.
    """

    def __init__(self, model: DiffusionGemma, prefill_chunk: int = PREFILL_CHUNK) -> None:
        self.model = model
        self.prefill_chunk = prefill_chunk

    def next_parts(self, sequences: list[Sequence], now: int) -> list[Part]:
        """Take what the next pass encodes of their pending tokens, at most `prefill_chunk` tokens
        in all.

        Whoever was encoded longest ago goes first, so that commits cannot keep a long prompt
        waiting; `now` counts steps. A prompt is cut at multiples of `prefill_chunk` of its own, or
        of what was known of it, whatever else waits, so that it is always read alike. Of prompts
        that begin alike one is encoded first: the others wait for what they can know of it. One
        whose cache cannot be had is left out, with its `error`.
        """
        budget = self.prefill_chunk
        parts: list[Part] = []
        begun = {sequence.next_block for sequence in sequences if sequence.cache is not None}
        for sequence in sorted(sequences, key=lambda sequence: sequence.encoded_at):
            if min(sequence.unknown, self.prefill_chunk) > budget:
                break
            if sequence.cache is None and (block := sequence.next_block):
                if block in begun:
                    continue
                begun.add(block)
            try:
                sequence.begin()
            except Exception as error:
                sequence.error = error
                continue
            part = sequence.take(self.prefill_chunk)
            if not part:
                continue
            parts.append((sequence, torch.tensor(part, device=self.model.device)))
            sequence.encoded_at = now
            budget -= len(part)
        return parts

    def encode(self, parts: list[Part]) -> None:
        """One causal pass over parts of sequences."""
        with _encoding(parts) as clean:
            self.model.prefill(clean.tokens, clean.caches)

    def denoise(
        self, sequences: list[Sequence], parts: list[Part]
    ) -> tuple[DenoisingStep, list[bool]]:
        """One denoising step of every sequence, all with a canvas; their states move on. The same
        pass encodes `parts` of these
        or others: a commit costs no pass of its own.

        Returns:
            The step, a row each, and which canvases are done.

        Raises:
            NonFiniteError: a row's entropies are not finite; the message names the weights that
                hold NaN or infinity.
        """
        device = self.model.device
        state = DenoisingState.join(
            [sequence.state for sequence in sequences if sequence.state is not None]
        )
        options = DenoisingOptions.of(
            [sequence.request.config for sequence in sequences],
            [sequence.edits for sequence in sequences],
            device,
            [sequence.constraints for sequence in sequences],
            samplers=[sequence.request.sampler for sequence in sequences],
            stopping=[sequence.request.stopping for sequence in sequences],
        )
        noise = Noise.of([sequence.noise_row for sequence in sequences], device)
        caches = [sequence.begin() for sequence in sequences]
        with _encoding(parts) as clean:
            denoiser = _Encoder(self.model, clean) if parts else self.model
            step, state, done = denoise_step(denoiser, state, caches, options, noise)
        if not bool(step.entropy.isfinite().all()):
            raise NonFiniteError(describe_non_finite(self.model))
        for row, sequence in enumerate(sequences):
            sequence.state = state.rows(slice(row, row + 1))
        return step, done.tolist()


@contextmanager
def _encoding(parts: list[Part]) -> Iterator[Clean]:
    """Parts of sequences for one pass. Where that fails their caches are in doubt, and all is to be
    read again."""
    try:
        yield Clean([tokens for _, tokens in parts], [sequence.begin() for sequence, _ in parts])
    except BaseException:
        for sequence, _ in parts:
            sequence.forget()
        raise


@dataclass(frozen=True)
class _Encoder:
    """The model, whose denoising pass encodes `clean` on its way."""

    model: DiffusionGemma
    clean: Clean

    @property
    def vocab_size(self) -> int:
        return self.model.vocab_size

    def embed(self, tokens: Tensor) -> Tensor:
        return self.model.embed(tokens)

    def denoise(
        self, canvas: Tensor, caches: Iterable[Any], self_conditioning: Tensor, readout: Readout
    ) -> VocabularyStatistics:
        return self.model.denoise(canvas, list(caches), self_conditioning, readout, self.clean)


def describe_non_finite(model: DiffusionGemma) -> str:
    """Which weights hold NaN or infinity."""

    def broken(tensor: Tensor) -> bool:
        return not bool(tensor.isfinite().all())

    names = [name for name, tensor in model.state_dict().items() if broken(tensor)]
    if names:
        return f"the model gave NaN or infinity: {', '.join(names)} hold such numbers; load an intact checkpoint"
    return f"the model gave NaN or infinity from finite weights: the activations overflow {model.dtype}, load as float32"
