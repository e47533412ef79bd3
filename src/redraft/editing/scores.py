"""Scores: how likely the model finds texts behind one prefix, read left to right.

On a canvas a model of uniform noise believes what it reads: every text seems likely there. Read
left to right, it does not know what comes.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from redraft.engine.row import Part, Row, Scores, TokenScores
from redraft.engine.work import Resources

Scored = Generator[Sequence[Row], None, list[Tensor]]


def score_texts(
    resources: Resources, prefix: Row, last: Tensor, texts: Sequence[Sequence[int]]
) -> Scored:
    """Yield the rows that score texts; return the log-probabilities, nats, float32 [n] a text.

    Args:
        prefix: its cache holds what stands before the texts, and stays as it is.
        last: hidden state [H] of the prefix's last token.
    """
    rows: dict[int, Row] = {}
    for number, text in enumerate(texts):
        if text:
            row = rows[number] = Row(resources.prefixes, base=prefix.begin())
            row.append(Part(tuple(text), TokenScores(tuple(text), last), keep=False))
    if rows:
        yield list(rows.values())
    found: list[Tensor] = []
    for number in range(len(texts)):
        result = rows[number].result if number in rows else None
        if isinstance(result, Scores):
            found.append(result.log_probabilities)
        else:
            found.append(torch.zeros(0, device=last.device))
    return found


def total(log_probabilities: Tensor) -> float:
    """Return the log-probability of a text as a whole, nats.

    The sum, not the mean: all candidates are one text but for their holes, so their sums compare,
    and a hole that ends too early pays for it where the text goes on.
    """
    return float(log_probabilities.sum())
