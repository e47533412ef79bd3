"""One look at the vocabulary: from hidden states to all that a denoising step needs to know.

This is the plain form: blocks of positions, each against the whole vocabulary, so that at most BLOCK_ELEMENTS logits exist
at a time and a [B, L, V] tensor never does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from redraft.ops.rows import VECTOR_ROWS, whole_rows

BLOCK_ELEMENTS = 1 << 24


@dataclass(frozen=True, kw_only=True)
class LogitEdits:
    """What one row changes in its logits, in this order: bias, penalty, (temperature,) top_p, min_p."""

    bias_tokens: Tensor | None = None  # [K] int64
    bias: Tensor | None = None  # [K] float32
    penalised_tokens: Tensor | None = None  # [K] int64, each once
    repetition_penalty: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0

    def edit_logits(self, logits: Tensor) -> None:
        """Apply bias and penalty to `logits` [N, V], in place."""
        if self.bias_tokens is not None and self.bias is not None:
            logits[:, self.bias_tokens] += self.bias
        if self.penalised_tokens is not None:
            seen = logits[:, self.penalised_tokens]
            penalty = self.repetition_penalty
            logits[:, self.penalised_tokens] = torch.where(seen > 0, seen / penalty, seen * penalty)

    def filter_logits(self, tempered: Tensor) -> None:
        """Set to -inf what top_p and min_p drop from `tempered` [N, V], in place."""
        if self.top_p < 1.0:
            probs, order = tempered.softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
            # Exclusive sum: the likeliest token is always kept.
            dropped = probs.cumsum(-1) - probs >= self.top_p
            tempered.masked_fill_(torch.zeros_like(dropped).scatter_(-1, order, dropped), -torch.inf)
        if self.min_p > 0.0:
            probs = tempered.softmax(dim=-1)
            tempered.masked_fill_(probs < self.min_p * probs.amax(dim=-1, keepdim=True), -torch.inf)


@dataclass(frozen=True, kw_only=True)
class Readout:
    """What a step asks of the vocabulary, a row each.

    temperature: float32 [B], > 0.
    uniform: float64 [B, L] in (0, 1); the sample is the first token, in vocabulary order, whose cumulative probability
        passes it.
    greedy: bool [B], rows whose sample is the argmax.
    edits: one LogitEdits a row, or None.
    """

    temperature: Tensor
    uniform: Tensor
    greedy: Tensor
    edits: Sequence[LogitEdits | None]


@dataclass(frozen=True, kw_only=True)
class VocabularyStatistics:
    """What a step learns from the vocabulary: of the edited, tempered distribution at each position.

    argmax, sample: int64 [B, L]; entropy: float32 [B, L], nats; soft_embedding: [B, L, H], the mean embedding under the
    distribution times sqrt(H), which is the next step's self-conditioning signal.
    """

    argmax: Tensor
    sample: Tensor
    entropy: Tensor
    soft_embedding: Tensor


def softcapped_logits(hidden: Tensor, embedding: Tensor, softcap: float) -> Tensor:
    """softcap * tanh(h E^T / softcap), float32 [N, V], of hidden states [N, H] and the tied embedding [V, H]."""
    return torch.tanh(F.linear(hidden, embedding).float() / softcap) * softcap


def read_vocabulary(hidden: Tensor, embedding: Tensor, softcap: float, scale: Tensor, readout: Readout) -> VocabularyStatistics:
    """Logits, argmax, sample, entropy and soft embedding of hidden states [B, L, H] under the tied embedding [V, H].

    `scale` is the embedding factor sqrt(H), a scalar tensor in the embedding's dtype.
    """
    rows, length, width = hidden.shape
    count = rows * length
    flat = whole_rows(hidden.reshape(count, width))
    row_of = torch.arange(len(flat), device=hidden.device).div(length, rounding_mode="floor").clamp_max(rows - 1)
    uniform = F.pad(readout.uniform.reshape(-1), (0, len(flat) - count), value=0.5)
    block = max(1, BLOCK_ELEMENTS // len(embedding) // VECTOR_ROWS) * VECTOR_ROWS
    parts: list[tuple[Tensor, ...]] = []
    for states, owners, draws in zip(*(t.split(block) for t in (flat, row_of, uniform)), strict=True):
        logits = tempered_logits(softcapped_logits(states, embedding, softcap), owners, readout)
        parts.append(_summarise(logits, draws, readout.greedy[owners], embedding, scale))
    argmax, sample, entropy, soft = (torch.cat(part)[:count] for part in zip(*parts, strict=True))
    return VocabularyStatistics(
        argmax=argmax.view(rows, length),
        sample=sample.view(rows, length),
        entropy=entropy.view(rows, length),
        soft_embedding=soft.view(rows, length, width),
    )


def tempered_logits(logits: Tensor, owners: Tensor, readout: Readout) -> Tensor:
    """`logits` [N, V] edited for the rows (`owners` int64 [N]) that own them, the temperature between edits and filters."""
    edited = {row: edits for row, edits in enumerate(readout.edits) if edits is not None}
    mine = {row: (owners == row).nonzero().squeeze(-1) for row in edited}
    for row, edits in edited.items():
        part = logits[mine[row]]
        edits.edit_logits(part)
        logits[mine[row]] = part
    logits = logits / readout.temperature[owners].unsqueeze(-1)
    for row, edits in edited.items():
        part = logits[mine[row]]
        edits.filter_logits(part)
        logits[mine[row]] = part
    return logits


def inverse_cdf(probs: Tensor, uniform: Tensor) -> Tensor:
    """The first token, in vocabulary order, whose cumulative probability passes `uniform` [N]; int64 [N] from probs [N, V]."""
    cumulative = probs.cumsum(dim=-1, dtype=torch.float64)
    target = uniform.unsqueeze(-1) * cumulative[:, -1:]
    found = torch.searchsorted(cumulative, target, right=True).squeeze(-1)
    return found.clamp_max(probs.shape[-1] - 1)  # only NaN gets this far; it is reported where it can be named


def _summarise(logits: Tensor, uniform: Tensor, greedy: Tensor, embedding: Tensor, scale: Tensor) -> tuple[Tensor, ...]:
    probs = logits.softmax(dim=-1)
    argmax = logits.argmax(dim=-1)
    sample = torch.where(greedy, argmax, inverse_cdf(probs, uniform))
    entropy = torch.special.entr(probs).sum(dim=-1)
    soft = (probs.to(embedding.dtype) @ embedding) * scale
    return argmax, sample, entropy, soft
