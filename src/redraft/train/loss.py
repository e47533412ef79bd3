"""What training minimises: the canvas from its corruption, and now and then the answer left to
right.

Source: uniform-state diffusion as DiffusionGemma is tuned: cross-entropy over corrupted and clean
positions, the same at every level of noise, and for some of the canvases passes without gradient
whose belief the next pass hears (self-conditioning).
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

LEAST_LEVEL = 1e-4
LEAST_WEIGHT = 20  # a hole, or an answer, of fewer tokens weighs as its share of so many


@dataclass(frozen=True)
class Losses:
    """diffusion, encoder: scalars, what is minimised; None where that was not read. level, by_row:
    float32 [B], noise of a canvas, and its mean loss over the positions that count, in nats."""

    diffusion: Tensor | None
    encoder: Tensor | None
    level: Tensor
    by_row: Tensor
    prefix: Tensor | None = None
    prefix_weight: float = 0.0

    @property
    def total(self) -> Tensor:
        """What the gradient is of."""
        prefix = None if self.prefix is None else self.prefix * self.prefix_weight
        parts = [part for part in (self.diffusion, self.encoder, prefix) if part is not None]
        return torch.stack(parts).sum()


@dataclass(frozen=True)
class Corruption:
    """level: float32 [draws, B], t of each canvas. noisy: int64 [draws, B, L], canvases with that
    share replaced. Given positions are never touched."""

    level: Tensor
    noisy: Tensor

    @classmethod
    def of(
        cls, batch: Batch, draws: int, vocab_size: int, generator: torch.Generator
    ) -> Corruption:
        """`draws` canvases of every row, at levels spread evenly from a random one, so that each
        batch sees all noise."""
        first = torch.rand(len(batch.target), generator=generator)
        level = torch.cat([(first + draw / draws) % 1 for draw in range(draws)])
        level = level * (1 - 2 * LEAST_LEVEL) + LEAST_LEVEL
        target, given = batch.target.repeat(draws, 1), batch.given.repeat(draws, 1)
        noisy = torch.where(given, target, corrupt(target, level, vocab_size, generator))
        return cls(level.view(draws, -1), noisy.view(draws, *batch.target.shape))

    def part(self, number: int, count: int) -> Corruption:
        """The canvases of every `count`-th row from `number` on."""
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
    states, past = passes.encode(batch.prefix)
    encoder = None
    if answer:
        encoder = answer_loss(passes, batch, answer_states(passes, batch, states, past))
    prefix = prefix_loss(passes, batch, states) if prefix_weight else None
    past, lengths = repeated(past, draws), batch.prefix_lengths.repeat(draws)
    target, given = batch.target.repeat(draws, 1), batch.given.repeat(draws, 1)
    signal = torch.zeros(*noisy.shape, passes.network.config.hidden_size)
    for share in self_conditioning:
        count = math.ceil(len(noisy) * share)
        with torch.no_grad():
            before = first_rows(past, count)
            found = passes.canvas_states(noisy[:count], signal[:count], before, lengths[:count])
            soft = passes.soft_embedding(found)
            own = passes.network.embed(target[:count])
            # A known token is its own embedding, as a frozen position is at inference.
            signal[:count] = torch.where(given[:count, :, None], own, soft).to(signal.dtype)
    by_token = passes.token_loss(passes.canvas_states(noisy, signal, past, lengths), target)
    weight = batch.weight.repeat(draws, 1)
    sums, counts = (by_token * weight).sum(dim=1), weight.sum(dim=1)
    loss = (sums / counts.clamp_min(LEAST_WEIGHT)).mean()
    by_row = (sums / counts.clamp_min(1)).detach()
    return Losses(loss, encoder, corruption.level.flatten(), by_row, prefix, prefix_weight)


def autoregressive_losses(passes: ForwardPasses, batch: Batch) -> Losses:
    """Compute the autoregressive loss alone: all that an autoregressive network minimises."""
    states, past = passes.encode(batch.prefix)
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
