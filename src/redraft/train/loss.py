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
import torch.nn.functional as F
from torch import Tensor

from redraft.diffusion.corruption import corrupt
from redraft.network import DiffusionGemma
from redraft.train import context
from redraft.train.batch import Batch

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
    model: DiffusionGemma,
    batch: Batch,
    corruption: Corruption,
    *,
    answer: bool = False,
    self_conditioning: Sequence[float] = (0.5,),
    prefix_weight: float = 0.0,
) -> Losses:
    """Losses of one batch.

    Args:
        answer: also read the clean answer left to right and add its cross-entropy (the encoder's
            own loss).
        self_conditioning: share of the canvases that hear a first pass, of those that hear a second
            upon it, and so on.
        prefix_weight: weight of the prefix's own cross-entropy, read left to right.
    """
    draws, noisy = len(corruption.noisy), corruption.noisy.flatten(0, 1)
    states, past = context.read_clean(model, batch.prefix)
    encoder = (
        answer_loss(model, batch, answer_states(model, batch, states, past)) if answer else None
    )
    prefix = prefix_loss(model, batch, states) if prefix_weight else None
    past, lengths = context.repeated(past, draws), batch.prefix_lengths.repeat(draws)
    target, given = batch.target.repeat(draws, 1), batch.given.repeat(draws, 1)
    signal = torch.zeros(*noisy.shape, model.config.hidden_size)
    for share in self_conditioning:
        hearing = math.ceil(len(noisy) * share)
        with torch.no_grad():
            before = context.first_rows(past, hearing)
            belief = soft_belief(
                model,
                canvas_states(model, noisy[:hearing], signal[:hearing], before, lengths[:hearing]),
            )
            heard = torch.where(given[:hearing, :, None], model.embed(target[:hearing]), belief)
            signal[:hearing] = heard.to(signal.dtype)
    by_token = token_loss(model, canvas_states(model, noisy, signal, past, lengths), target)
    weight = batch.weight.repeat(draws, 1)
    sums, counts = (by_token * weight).sum(dim=1), weight.sum(dim=1)
    loss = (sums / counts.clamp_min(LEAST_WEIGHT)).mean()
    by_row = (sums / counts.clamp_min(1)).detach()
    return Losses(loss, encoder, corruption.level.flatten(), by_row, prefix, prefix_weight)


def typewriter_losses(model: DiffusionGemma, batch: Batch) -> Losses:
    """The left-to-right loss alone: what a model minimises that is to be nothing but a
    typewriter."""
    states, past = context.read_clean(model, batch.prefix)
    by_token = _answer_tokens(model, batch, answer_states(model, batch, states, past))
    by_row = by_token.sum(dim=1) / batch.answer_lengths
    return Losses(
        None, by_token.sum() / batch.answer_lengths.sum(), torch.zeros(len(by_row)), by_row.detach()
    )


def canvas_states(
    model: DiffusionGemma, noisy: Tensor, signal: Tensor, past: context.Past, lengths: Tensor
) -> Tensor:
    """States [B, L, H] of canvases [B, L] that hear `signal` [B, L, H]."""
    return context.read_canvas(
        model, model.self_conditioning.join(model.embed(noisy), signal), past, lengths
    )


def answer_states(
    model: DiffusionGemma, batch: Batch, states: Tensor, past: context.Past
) -> Tensor:
    """The states [B, L, H] that predict the answer: the prefix's last, then the answer's own but
    its last."""
    after, _ = context.read_clean(model, batch.answer, past, batch.prefix_lengths)
    last = states[torch.arange(len(states)), batch.prefix_lengths - 1]
    return torch.cat((last[:, None], after[:, :-1]), dim=1)


def answer_loss(model: DiffusionGemma, batch: Batch, states: Tensor) -> Tensor:
    """Mean cross-entropy of the answer up to and with the end of the turn; what fills the canvas
    behind it does not count."""
    return _answer_tokens(model, batch, states).sum() / batch.answer_lengths.sum()


def prefix_loss(model: DiffusionGemma, batch: Batch, states: Tensor) -> Tensor:
    """Mean cross-entropy of the prefix's tokens but the first, under its states [B, P, H]."""
    target = torch.cat((batch.prefix[:, 1:], batch.prefix[:, :1]), dim=1)
    counted = torch.arange(target.shape[1]) < batch.prefix_lengths[:, None] - 1
    return (token_loss(model, states, target) * counted).sum() / counted.sum().clamp_min(1)


def _answer_tokens(model: DiffusionGemma, batch: Batch, states: Tensor) -> Tensor:
    """Cross-entropy [B, L] of the answer's tokens, 0 behind the end of the turn."""
    counted = torch.arange(batch.answer.shape[1]) < batch.answer_lengths[:, None]
    return token_loss(model, states, batch.answer) * counted


def token_loss(model: DiffusionGemma, states: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy [B, L] of tokens [B, L] under the logits of states [B, L, H]."""
    logits = model.logits(states).float()
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view_as(target)


def soft_belief(model: DiffusionGemma, states: Tensor) -> Tensor:
    """The mean embedding [B, L, H] under the logits of states [B, L, H], scaled: what the next step
    hears."""
    weight = model.embed_tokens.weight
    return (model.logits(states).softmax(dim=-1).to(weight.dtype) @ weight) * model.embedding_scale
