"""The objective of fine-tuning, as Google's JAX code and TRL's example have it.

One canvas of each example, behind the clean tokens before it: t uniform, cross-entropy over noised
and clean positions alike, flat over the batch. Half of the examples first get a pass without
gradient whose soft embedding the next pass reads. The encoder's next-token loss over the clean
sequence is added. The gradient of the canvas flows into the encoder's pass.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from redraft.network import ImageSpan
from redraft.train.finetune.encoded import TrainingCanvas
from redraft.train.forward import ForwardPasses


@dataclass(frozen=True)
class CanvasBatch:
    """The tensors of B examples: sequences of S tokens, canvases of L.

    Attributes:
        sequence: int64 [B, S], padded at the end. learnt: bool [B, S], tokens that the encoder's
            loss counts; the first is never one.
        start: int64 [B], the clean tokens before each canvas.
        target: int64 [B, L]. noisy: int64 [B, L], the corrupted canvas.
        frozen, counted: bool [B, L]. level: float32 [B], t.
        conditioned: bool [B], examples with a first pass.
        images: those of each sequence.
    """

    sequence: Tensor
    learnt: Tensor
    start: Tensor
    target: Tensor
    noisy: Tensor
    frozen: Tensor
    counted: Tensor
    level: Tensor
    conditioned: Tensor
    images: tuple[tuple[ImageSpan, ...], ...] = ()

    @classmethod
    def of(
        cls,
        canvases: Sequence[TrainingCanvas],
        rngs: Sequence[random.Random],
        *,
        vocab_size: int,
        pad: int,
        self_conditioning: float = 0.5,
        min_noise: float = 1e-4,
    ) -> CanvasBatch:
        """Corrupt canvases, each by random numbers of its own, so that none depends on its batch.

        Args:
            self_conditioning: the share of examples with a first pass. min_noise: the least t, and
                1 - t.
        """
        width = max(len(one.sequence) for one in canvases)
        sequence = [one.sequence + [pad] * (width - len(one.sequence)) for one in canvases]
        learnt = [one.learnt + [False] * (width - len(one.learnt)) for one in canvases]
        level = [min_noise + (1 - 2 * min_noise) * rng.random() for rng in rngs]
        noisy = [
            _corrupted(one, t, vocab_size, rng)
            for one, rng, t in zip(canvases, rngs, level, strict=True)
        ]
        counted = torch.tensor(learnt)
        counted[:, 0] = False
        return cls(
            torch.tensor(sequence),
            counted,
            torch.tensor([one.start for one in canvases]),
            torch.tensor([one.target for one in canvases]),
            torch.tensor(noisy),
            torch.tensor([one.frozen for one in canvases]),
            torch.tensor([one.counted for one in canvases]),
            torch.tensor(level),
            torch.tensor([rng.random() < self_conditioning for rng in rngs]),
            tuple(one.images for one in canvases),
        )

    def to(self, device: torch.device) -> CanvasBatch:
        """Return the batch on a device."""
        names = [name for name in self.__dataclass_fields__ if name != "images"]
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


@dataclass(frozen=True)
class CanvasLosses:
    """The losses of a batch, in nats.

    Attributes:
        diffusion, encoder: sums over the positions that count. diffusion_count, encoder_count: how
            many these are.
        by_row: float32 [B], the mean loss of each canvas. level: float32 [B], its t.
    """

    diffusion: Tensor
    encoder: Tensor
    diffusion_count: int
    encoder_count: int
    by_row: Tensor
    level: Tensor

    def detached(self) -> CanvasLosses:
        """Return the losses without their gradients, on the CPU."""
        return replace(
            self,
            diffusion=self.diffusion.detach().cpu(),
            encoder=self.encoder.detach().cpu(),
            by_row=self.by_row.cpu(),
            level=self.level.cpu(),
        )


def _corrupted(
    canvas: TrainingCanvas, level: float, vocab_size: int, rng: random.Random
) -> list[int]:
    """Return a canvas whose open tokens are each replaced with probability `level`."""
    return [
        rng.randrange(vocab_size) if rng.random() < level and not known else token
        for token, known in zip(canvas.target, canvas.frozen, strict=True)
    ]


def canvas_losses(passes: ForwardPasses, batch: CanvasBatch) -> CanvasLosses:
    """Compute the losses of a batch."""
    states, past = passes.encode(batch.sequence, images=batch.images)
    following = batch.learnt[:, 1:]
    predicted = passes.token_loss(states[:, :-1], batch.sequence[:, 1:])
    encoder = (predicted * following).sum()
    signal = _self_conditioning(passes, batch, past)
    found = passes.canvas_states(batch.noisy, signal, past, batch.start)
    by_token = passes.token_loss(found, batch.target) * batch.counted
    rows = by_token.sum(dim=1).detach() / batch.counted.sum(dim=1).clamp_min(1)
    return CanvasLosses(
        by_token.sum(),
        encoder,
        int(batch.counted.sum()),
        int(following.sum()),
        rows,
        batch.level,
    )


def _self_conditioning(
    passes: ForwardPasses, batch: CanvasBatch, past: Sequence[tuple[Tensor, Tensor]]
) -> Tensor:
    """Return the soft embeddings [B, L, H] of a first pass; zeros for examples without one.

    The first pass has no gradient, but the embedding table that its probabilities weigh has, as in
    the reference.
    """
    network = passes.network
    signal = torch.zeros(
        *batch.noisy.shape, network.config.hidden_size, dtype=network.dtype, device=network.device
    )
    rows = batch.conditioned.nonzero()[:, 0]
    if not len(rows):
        if passes.in_step:
            _first_pass(passes, batch, past, signal, torch.zeros_like(batch.start[:1]))
        return signal
    soft = passes.soft_embedding(_first_pass(passes, batch, past, signal, rows))
    own = network.embed(batch.target[rows])
    # A frozen position is its own embedding, as when the model writes.
    heard = torch.where(batch.frozen[rows][..., None], own, soft).to(signal.dtype)
    return signal.index_copy(0, rows, heard)


@torch.no_grad()
def _first_pass(
    passes: ForwardPasses,
    batch: CanvasBatch,
    past: Sequence[tuple[Tensor, Tensor]],
    signal: Tensor,
    rows: Tensor,
) -> Tensor:
    """Return the states [R, L, H] of some rows, int64 [R], which hear `signal`."""
    before = [(key[rows], value[rows]) for key, value in past]
    return passes.canvas_states(batch.noisy[rows], signal[rows], before, batch.start[rows])
