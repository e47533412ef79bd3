"""Scores: how likely the model finds a text behind a prefix, read left to right.

On a canvas a model of uniform noise believes what it reads: all seems likely. Read left to right it
does not know what comes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from redraft.engine.runner import describe_non_finite
from redraft.errors import NonFiniteError
from redraft.network import PREFILL_CHUNK, Cache, DiffusionGemma

BLOCK_ELEMENTS = 1 << 24  # logits that exist at a time, at most


def log_probabilities(
    network: DiffusionGemma, cache: Cache, last: Tensor, texts: Sequence[Sequence[int]]
) -> list[Tensor]:
    """Log-probability float32 [n] of each token of each text, nats.

    Args:
        cache: holds what stands before them, and stays as it is. last: the last hidden state of
            that [H].
        texts: token ids.

    Raises:
        NonFiniteError: they are not finite; the message names the weights that hold NaN or
            infinity.
    """
    rows = [torch.tensor(text, dtype=torch.int64, device=network.device) for text in texts]
    found = [torch.zeros(0, device=network.device)] * len(rows)
    for group in _passes([number for number, row in enumerate(rows) if len(row)], rows):
        states = network.encode(
            [rows[number] for number in group], [cache] * len(group), keep=False
        )
        for number, hidden in zip(group, states, strict=True):
            found[number] = _of_tokens(network, torch.cat((last[None], hidden[:-1])), rows[number])
    if not all(bool(one.isfinite().all()) for one in found):
        raise NonFiniteError(describe_non_finite(network))
    return found


def _passes(numbers: list[int], rows: Sequence[Tensor]) -> list[list[int]]:
    """Rows that share a pass: as many as have PREFILL_CHUNK tokens together, or one."""
    groups: list[list[int]] = []
    size = PREFILL_CHUNK
    for number in numbers:
        if size + len(rows[number]) > PREFILL_CHUNK:
            groups.append([])
            size = 0
        groups[-1].append(number)
        size += len(rows[number])
    return groups


def scores(
    network: DiffusionGemma, cache: Cache, last: Tensor, texts: Sequence[Sequence[int]]
) -> list[float]:
    """Log-probability of each text as a whole.

    The sum, not the mean: all candidates are one text but for their holes, so their sums compare,
    and a hole that ends too early pays for it where the text goes on.
    """
    return [float(found.sum()) for found in log_probabilities(network, cache, last, texts)]


def _of_tokens(network: DiffusionGemma, before: Tensor, tokens: Tensor) -> Tensor:
    block = max(1, BLOCK_ELEMENTS // network.vocab_size)
    parts = zip(before.split(block), tokens.split(block), strict=True)
    found = [
        network.logits(states).log_softmax(dim=-1).gather(-1, part[:, None])[:, 0]
        for states, part in parts
    ]
    return torch.cat(found)
