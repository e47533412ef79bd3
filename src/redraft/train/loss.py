"""What training minimises: the canvas from its corruption, and now and then the answer left to right.

Source: uniform-state diffusion as DiffusionGemma is tuned: unweighted mean cross-entropy over corrupted and clean positions,
and for half of the rows a first pass without gradient whose belief the second pass hears (self-conditioning).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from redraft.diffusion.corruption import corrupt
from redraft.model import DiffusionGemma
from redraft.model.block_context import BlockContext
from redraft.train.batch import Batch

LEAST_LEVEL = 1e-4


@dataclass(frozen=True)
class Losses:
    """diffusion: scalar, nats a position. encoder: scalar or None. level, by_row: float32 [B], noise and loss of each row."""

    diffusion: Tensor
    encoder: Tensor | None
    level: Tensor
    by_row: Tensor

    @property
    def total(self) -> Tensor:
        return self.diffusion if self.encoder is None else self.diffusion + self.encoder


def losses(
    model: DiffusionGemma,
    batch: Batch,
    generator: torch.Generator,
    *,
    answer: bool = False,
    self_conditioning: float = 0.5,
) -> Losses:
    """Losses of one batch at random noise levels.

    Args:
        answer: also read the clean answer left to right and add its cross-entropy (the encoder's own loss).
        self_conditioning: share of the rows that hear a first pass.
    """
    rows, vocab = len(batch.target), model.config.vocab_size
    level = torch.rand(rows, generator=generator) * (1 - 2 * LEAST_LEVEL) + LEAST_LEVEL
    noisy = corrupt(batch.target, level, vocab, generator)
    signal = torch.zeros(*noisy.shape, model.config.hidden_size)
    hearing = int(rows * self_conditioning)
    if hearing:
        with torch.no_grad():
            belief = canvas_logits(model, batch.first(hearing), noisy[:hearing], signal[:hearing])[0]
            signal[:hearing] = soft_embedding(model, belief).to(signal.dtype)
    logits, hidden = canvas_logits(model, batch, noisy, signal, answer=answer)
    by_token = F.cross_entropy(logits.float().flatten(0, 1), batch.target.flatten(), reduction="none")
    by_row = by_token.view(rows, -1).mean(dim=1)
    encoder = answer_loss(model, batch, hidden) if hidden is not None else None
    return Losses(by_row.mean(), encoder, level, by_row.detach())


def canvas_logits(
    model: DiffusionGemma, batch: Batch, noisy: Tensor, signal: Tensor, *, answer: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Logits [B, L, V] of the canvas, and with `answer` the states [B, 1 + L, H] that predict the answer and its end."""
    prefix, canvas = batch.prefix.shape[1], noisy.shape[1]
    embeddings = [model.embed(batch.prefix), model.self_conditioning.join(model.embed(noisy), signal)]
    if answer:
        embeddings.append(model.embed(batch.target))
    context = BlockContext(model.config, batch.prefix_lengths, prefix, canvas, answer=answer, dtype=embeddings[1].dtype)
    hidden = model.hidden_states(torch.cat([part.to(embeddings[1].dtype) for part in embeddings], dim=1), context)
    logits = model.logits(hidden[:, prefix : prefix + canvas])
    if not answer:
        return logits, None
    last = hidden[torch.arange(len(noisy)), batch.prefix_lengths - 1]
    return logits, torch.cat((last[:, None], hidden[:, prefix + canvas : -1]), dim=1)


def answer_loss(model: DiffusionGemma, batch: Batch, hidden: Tensor) -> Tensor:
    """Mean cross-entropy of the answer up to and with the end of the turn; what fills the canvas behind it does not count."""
    logits = model.logits(hidden)
    by_token = F.cross_entropy(logits.float().flatten(0, 1), batch.target.flatten(), reduction="none").view_as(batch.target)
    counted = torch.arange(batch.target.shape[1]) < batch.answer_lengths[:, None]
    return (by_token * counted).sum() / counted.sum()


def soft_embedding(model: DiffusionGemma, logits: Tensor) -> Tensor:
    """The mean embedding [B, L, H] under logits [B, L, V], scaled: what the next step hears."""
    weight = model.embed_tokens.weight
    return (logits.softmax(dim=-1).to(weight.dtype) @ weight) * model.embedding_scale
