"""The vocabulary pass: from hidden states to the statistics of a denoising step."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from redraft.ops.triton import uses_kernels
from redraft.ops.vocabulary.chunked import read_chunked
from redraft.ops.vocabulary.constrained import read_constrained
from redraft.ops.vocabulary.dense import read_dense
from redraft.ops.vocabulary.divergence import read_divergence
from redraft.ops.vocabulary.types import (
    DistributionComparison,
    Positions,
    PositionStatistics,
    Readout,
    VocabularyStatistics,
)

KERNEL_POSITIONS = 256  # whose logits exist whole at a time, where a kernel reads them


def read_vocabulary(
    hidden: Tensor, embedding: Tensor, softcap: float | None, scale: Tensor, readout: Readout
) -> VocabularyStatistics:
    """Return the statistics of hidden states [B, L, H] under the tied embedding [V, H].

    Only wanted positions are computed, in chunks of the vocabulary; those of rows with a filter
    (top_k, top_p, min_p), which needs the whole distribution, in blocks of positions; those under a
    constraint row by row, class by class. `softcap` is the bound of the logits, None
    for none. `scale` is the embedding factor sqrt(H), a scalar tensor
    in the embedding's dtype.
    """
    if readout.comparison is not None:
        statistics = read_vocabulary(
            hidden, embedding, softcap, scale, replace(readout, comparison=None)
        )
        divergence = _divergence(hidden, embedding, softcap, readout, readout.comparison)
        return replace(statistics, divergence=divergence, hidden_states=hidden)
    if readout.plain and softcap is not None and uses_kernels(hidden):
        return _read_plain(hidden, embedding, softcap, scale, readout)
    rows, length, _ = hidden.shape
    positions, wanted, filtered = _flat(hidden, readout)
    long = torch.zeros(rows * length, dtype=torch.int64, device=hidden.device)
    all_found = PositionStatistics(
        long, long.clone(), long.float(), long.float(), torch.zeros_like(positions.states)
    )
    for row, constraints in enumerate(readout.span_constraints):
        for constraint in constraints:
            span = slice(row * length + constraint.span.start, row * length + constraint.span.stop)
            index = wanted[span].nonzero().squeeze(-1) + span.start
            if len(index):
                part = read_constrained(
                    positions[index], embedding, softcap, constraint, wanted[span]
                )
                for whole, of_span in zip(all_found, part, strict=True):
                    whole[index] = of_span
            wanted = wanted.index_fill(0, index, False)
    for form, mine in ((read_chunked, wanted & ~filtered), (read_dense, wanted & filtered)):
        index = mine.nonzero().squeeze(-1)
        if len(index):
            found = form(positions[index].padded(), embedding, softcap)
            for whole, of_form in zip(all_found, found, strict=True):
                whole[index] = of_form[: len(index)]
    return _by_rows(all_found, rows, scale)


def _flat(hidden: Tensor, readout: Readout) -> tuple[Positions, Tensor, Tensor]:
    """Return all positions of hidden states [B, L, H], which of them are wanted, and which belong
    to a row with a filter, both bool [B * L]."""
    rows, length, width = hidden.shape
    owners = torch.arange(rows, device=hidden.device).repeat_interleave(length)
    allowed = readout.allowed
    mask_index = None if allowed is None else allowed.mask_index.reshape(-1)
    positions = Positions(
        hidden.reshape(-1, width), owners, readout.uniform.reshape(-1), readout, mask_index
    )
    filtered = torch.tensor(
        [edits is not None and edits.filters for edits in readout.edits], device=hidden.device
    )[owners]
    wanted = torch.ones_like(filtered) if readout.wanted is None else readout.wanted.reshape(-1)
    return positions, wanted, filtered


def _divergence(
    hidden: Tensor,
    embedding: Tensor,
    softcap: float | None,
    readout: Readout,
    comparison: DistributionComparison,
) -> Tensor:
    """Return KL(this step || the step before), float32 [B, L]."""
    positions, wanted, filtered = _flat(hidden, readout)
    found = read_divergence(positions, comparison, wanted, filtered, embedding, softcap)
    return found.view(hidden.shape[:2])


def _read_plain(
    hidden: Tensor, embedding: Tensor, softcap: float, scale: Tensor, readout: Readout
) -> VocabularyStatistics:
    """Read all positions, wanted or not, so that nothing waits for the device to say which."""
    from redraft.ops.triton.vocabulary import read_plain

    rows, length, width = hidden.shape
    temperature, greedy = (
        each.repeat_interleave(length) for each in (readout.temperature, readout.greedy)
    )
    states, uniform = hidden.reshape(-1, width), readout.uniform.reshape(-1)
    found = read_plain(states, embedding, softcap, temperature, uniform, greedy, KERNEL_POSITIONS)
    if readout.wanted is not None:
        wanted = readout.wanted.reshape(-1)
        found = PositionStatistics(
            *(part.where(wanted if part.ndim == 1 else wanted[:, None], 0) for part in found)
        )
    return _by_rows(found, rows, scale)


def _by_rows(found: PositionStatistics, rows: int, scale: Tensor) -> VocabularyStatistics:
    """Return the statistics of all flat positions by rows, as a step has them."""
    return VocabularyStatistics(
        argmax=found.argmax.view(rows, -1),
        sample=found.sample.view(rows, -1),
        entropy=found.entropy.view(rows, -1),
        confidence=found.confidence.view(rows, -1),
        soft_embedding=found.soft.unflatten(0, (rows, -1)) * scale,
    )
