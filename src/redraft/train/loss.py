"""The losses of training: a canvas from its corruption, the encoder's loss, the prefix's.

The diffusion loss is that of uniform noise, as DiffusionGemma is tuned: cross-entropy over noised
and clean positions alike, with the same weight at every noise level. Some of the canvases first get
forward passes without gradient, whose soft embedding the next pass reads (self-conditioning).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.diffusion.corruption import corrupt
from redraft.train.batch import Batch
from redraft.train.context import Past, first_rows, repeated
from redraft.train.forward import ForwardPasses

MIN_NOISE_LEVEL = 1e-4
# The loss of a row is divided by its weight, and at least by so many tokens: short holes and short
# answers weigh less.
MIN_ROW_WEIGHT = 20


@dataclass(frozen=True)
class Losses:
    """The losses of a batch, in nats.

    Attributes:
        diffusion, encoder, prefix: scalars; None if that loss was not computed.
        level: float32 [B], the noise level of each canvas.
        by_row: float32 [B], the mean loss of each canvas over the positions that count.
        prefix_weight: the weight of `prefix` in the total.
    """

    diffusion: Tensor | None
    encoder: Tensor | None
    level: Tensor
    by_row: Tensor
    prefix: Tensor | None = None
    prefix_weight: float = 0.0

    @property
    def total(self) -> Tensor:
        """The scalar that is minimised."""
        prefix = None if self.prefix is None else self.prefix * self.prefix_weight
        parts = [part for part in (self.diffusion, self.encoder, prefix) if part is not None]
        return torch.stack(parts).sum()


@dataclass(frozen=True)
class Corruption:
    """Noised canvases: several of each row.

    Attributes:
        level: float32 [draws, B], the share of positions of a canvas that are replaced.
        noisy: int64 [draws, B, L]. Frozen positions are never replaced.
    """

    level: Tensor
    noisy: Tensor

    @classmethod
    def of(
        cls,
        batch: Batch,
        draws: int,
        vocab_size: int,
        generator: torch.Generator,
        power: float = 1.0,
    ) -> Corruption:
        """Draw `draws` canvases of every row.

        Their noise levels are evenly spaced from a random one, so that every batch has little and
        much noise.

        Args:
            power: levels are 1 - (1 - u)^power of evenly spaced u: above 1 they lean to much noise.
        """
        first = torch.rand(len(batch.target), generator=generator)
        level = torch.cat([(first + draw / draws) % 1 for draw in range(draws)])
        level = 1 - (1 - level) ** power
        level = level * (1 - 2 * MIN_NOISE_LEVEL) + MIN_NOISE_LEVEL
        target, frozen = batch.target.repeat(draws, 1), batch.frozen.repeat(draws, 1)
        noisy = torch.where(frozen, target, corrupt(target, level, vocab_size, generator))
        return cls(level.view(draws, -1), noisy.view(draws, *batch.target.shape))

    def part(self, number: int, count: int) -> Corruption:
        """Return the canvases of every `count`-th row, from row `number` on."""
        return Corruption(self.level[:, number::count], self.noisy[:, number::count])


def losses(
    passes: ForwardPasses,
    batch: Batch,
    corruption: Corruption,
    *,
    answer: bool = False,
    self_conditioning: Sequence[float] = (0.5,),
    prefix_weight: float = 0.0,
) -> Losses:
    """Compute the losses of one batch.

    Args:
        answer: also encode the clean answer and add its cross-entropy (the encoder's own loss).
        self_conditioning: share of the canvases that get the soft embedding of a first pass, of
            those that get one of a second pass upon the first, and so on.
        prefix_weight: weight of the autoregressive loss of the prefix itself; 0 leaves it out.
    """
    draws, noisy = len(corruption.noisy), corruption.noisy.flatten(0, 1)
    states, past = passes.encode(batch.prefix, images=batch.images)
    encoder = None
    if answer:
        encoder = answer_loss(passes, batch, answer_states(passes, batch, states, past))
    prefix = prefix_loss(passes, batch, states) if prefix_weight else None
    past, lengths = repeated(past, draws), batch.prefix_lengths.repeat(draws)
    target, frozen = batch.target.repeat(draws, 1), batch.frozen.repeat(draws, 1)
    signal = torch.zeros(*noisy.shape, passes.network.config.hidden_size)
    for share in self_conditioning:
        count = math.ceil(len(noisy) * share)
        with torch.no_grad():
            before = first_rows(past, count)
            found = passes.canvas_states(noisy[:count], signal[:count], before, lengths[:count])
            soft = passes.soft_embedding(found)
            own = passes.network.embed(target[:count])
            # A frozen position is its own embedding, as at inference.
            signal[:count] = torch.where(frozen[:count, :, None], own, soft).to(signal.dtype)
    by_token = passes.token_loss(passes.canvas_states(noisy, signal, past, lengths), target)
    weight = batch.weight.repeat(draws, 1)
    sums, counts = (by_token * weight).sum(dim=1), weight.sum(dim=1)
    loss = (sums / counts.clamp_min(MIN_ROW_WEIGHT)).mean()
    by_row = (sums / counts.clamp_min(1)).detach()
    return Losses(loss, encoder, corruption.level.flatten(), by_row, prefix, prefix_weight)


def autoregressive_losses(passes: ForwardPasses, batch: Batch) -> Losses:
    """Compute the autoregressive loss alone: all that an autoregressive network minimises."""
    states, past = passes.encode(batch.prefix, images=batch.images)
    by_token = _answer_tokens(passes, batch, answer_states(passes, batch, states, past))
    by_row = by_token.sum(dim=1) / batch.answer_lengths
    return Losses(
        None, by_token.sum() / batch.answer_lengths.sum(), torch.zeros(len(by_row)), by_row.detach()
    )


def answer_states(passes: ForwardPasses, batch: Batch, states: Tensor, past: Past) -> Tensor:
    """Return the states [B, L, H] that predict the answer's tokens.

    They are the prefix's last state, then the answer's own states but its last.

    Args:
        states, past: of the prefix.
    """
    after, _ = passes.encode(batch.answer, past, batch.prefix_lengths)
    last = states[torch.arange(len(states)), batch.prefix_lengths - 1]
    return torch.cat((last[:, None], after[:, :-1]), dim=1)


def answer_loss(passes: ForwardPasses, batch: Batch, states: Tensor) -> Tensor:
    """Return the mean cross-entropy of the answer, up to and with the end of the turn.

    Tokens behind the end of the turn do not count.
    """
    return _answer_tokens(passes, batch, states).sum() / batch.answer_lengths.sum()


def prefix_loss(passes: ForwardPasses, batch: Batch, states: Tensor) -> Tensor:
    """Return the mean cross-entropy of the prefix's tokens but the first.

    Args:
        states: [B, P, H], of the prefix.
    """
    target = torch.cat((batch.prefix[:, 1:], batch.prefix[:, :1]), dim=1)
    counted = torch.arange(target.shape[1]) < batch.prefix_lengths[:, None] - 1
    return (passes.token_loss(states, target) * counted).sum() / counted.sum().clamp_min(1)


def _answer_tokens(passes: ForwardPasses, batch: Batch, states: Tensor) -> Tensor:
    """Return the cross-entropy [B, L] of the answer's tokens, 0 behind the end of the turn."""
    counted = torch.arange(batch.answer.shape[1]) < batch.answer_lengths[:, None]
    return passes.token_loss(states, batch.answer) * counted
