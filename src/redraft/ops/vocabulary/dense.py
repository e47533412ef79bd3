"""The dense form: blocks of positions, each against the whole vocabulary.

No [B, L, V] tensor exists.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from redraft.ops.batch_invariance import VECTOR_ROWS
from redraft.ops.linear import linear
from redraft.ops.triton import uses_kernels
from redraft.ops.vocabulary.types import Positions, PositionStatistics, Readout

# Unit of bounded logits, in softcaps.
UNIT = 2.0
# Rows of a quantized table that are unpacked at a time.
UNPACKED_ROWS = 1 << 14
# Logits that exist at a time, at most.
MAX_LOGITS = 1 << 24


def softcapped_logits(hidden: Tensor, embedding: Tensor, softcap: float | None) -> Tensor:
    """Return softcap * tanh(h E^T / softcap), float32 [N, V], of hidden states [N, H] and the tied
    embedding [V, H]; without a softcap h E^T."""
    logits = linear(hidden, embedding).float()
    return logits if softcap is None else torch.tanh(logits / softcap) * softcap


def logit_unit(softcap: float | None) -> float:
    """Return the unit of `bounded_logits`."""
    return 1.0 if softcap is None else UNIT * softcap


def read_dense(
    positions: Positions, embedding: Tensor, softcap: float | None
) -> PositionStatistics:
    """Return the statistics of positions, block by block."""

    def read(part: Positions) -> PositionStatistics:
        logits = all_logits(part, embedding, softcap)
        return _summarise(logits, part.uniform, part.readout.greedy[part.owners], embedding)

    return positions.in_blocks(positions_per_block(embedding), read)


def all_logits(positions: Positions, embedding: Tensor, softcap: float | None) -> Tensor:
    """Return edited, tempered and filtered logits of the whole vocabulary, float32 [N, V]."""
    logits = positions.forbid(bounded_logits(positions.states, embedding, softcap))
    return tempered_logits(logits, positions.owners, positions.readout, logit_unit(softcap))


def positions_per_block(embedding: Tensor) -> int:
    """Return how many positions have all their logits at a time, with an embedding [V, H]."""
    return max(1, MAX_LOGITS // len(embedding) // VECTOR_ROWS) * VECTOR_ROWS


def tempered_logits(logits: Tensor, owners: Tensor, readout: Readout, unit: float = 1.0) -> Tensor:
    """Return logits as their rows have them edited: bias and penalty, temperature, filters.

    `logits`: float32 [N, V] in units of `unit`, overwritten. `owners`: int64 [N], their rows.
    """
    edited = {}
    for row, edits in enumerate(readout.edits):
        if edits is not None:
            mine = (owners == row).nonzero().squeeze(-1)
            part = logits[mine].mul_(unit)
            edits.edit_logits(part)
            part.div_(readout.temperature[row])
            edits.filter_logits(part)
            edited[row] = mine, part
    # A row without edits gets the same bits whatever the others have.
    logits.mul_((unit / readout.temperature)[owners].unsqueeze(-1))
    for mine, part in edited.values():
        logits[mine] = part
    return logits


def bounded_logits(hidden: Tensor, embedding: Tensor, softcap: float | None) -> Tensor:
    """Return tanh(h E^T / softcap) / UNIT, float32 [N, V]; no gradient flows through it.

    These are softcapped logits in units of `logit_unit(softcap)`. Without a softcap they are h E^T.
    tanh(x) is 2 sigmoid(2x) - 1, and torch's sigmoid takes half the time of its tanh.
    """
    logits = linear(hidden, embedding).float()
    if softcap is None:
        return logits
    return logits.mul_(UNIT / softcap).sigmoid_().sub_(0.5)


def inverse_cdf(probs: Tensor, uniform: Tensor) -> Tensor:
    """Return the first token, in vocabulary order, whose cumulative probability passes `uniform`.

    int64 [N], from probs [N, V] and uniform [N].
    """
    cumulative = probs.cumsum(dim=-1, dtype=torch.float64)
    target = uniform.unsqueeze(-1) * cumulative[:, -1:]
    found = torch.searchsorted(cumulative, target, right=True).squeeze(-1)
    # Only NaN gets beyond the last token; it is reported where it can be named.
    return found.clamp_max(probs.shape[-1] - 1)


def mean_embedding(probs: Tensor, embedding: Tensor) -> Tensor:
    """Return the mean embedding [N, H] under probabilities [N, V].

    A quantized table is decoded part by part, where no kernel decodes it as it reads.
    """
    table: Any = embedding
    if isinstance(table, Tensor):
        return linear(probs, table.T)
    if uses_kernels(probs) and (layout := table.packed_layout()):
        from redraft.ops.triton.table import has_weighted_rows, weighted_rows

        if has_weighted_rows(layout):
            return weighted_rows(probs, layout)
    parts = range(0, len(table), UNPACKED_ROWS)
    return sum(
        (
            probs[:, first : first + UNPACKED_ROWS] @ table[first : first + UNPACKED_ROWS]
            for first in parts
        ),
        probs.new_zeros(()),
    )


def _summarise(
    logits: Tensor, uniform: Tensor, greedy: Tensor, embedding: Tensor
) -> PositionStatistics:
    probs = logits.softmax(dim=-1)
    argmax = logits.argmax(dim=-1)
    sample = torch.where(greedy, argmax, inverse_cdf(probs, uniform))
    entropy = torch.special.entr(probs).sum(dim=-1)
    soft = mean_embedding(probs.to(embedding.dtype), embedding)
    return PositionStatistics(argmax, sample, entropy, probs.amax(dim=-1), soft)
