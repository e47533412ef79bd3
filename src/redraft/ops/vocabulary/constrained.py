"""The form for constrained positions: the vocabulary by classes of tokens that a constraint cannot
tell apart.

First pass: of each class at each position, the log mass, the likeliest token and the mean of log
probabilities. From these the constraint infers how likely each class is where it stands, and picks
the classes of the best text and of a sampled one. Second
pass: tokens within the classes picked, and the mean embedding. All of it is exact; the constraint
never sees the vocabulary.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from redraft.ops.batch_invariance import pad_for_invariance
from redraft.ops.linear import linear
from redraft.ops.vocabulary.chunked import RunningSums, first_beyond
from redraft.ops.vocabulary.dense import bounded_logits, logit_unit, tempered_logits
from redraft.ops.vocabulary.token_classes import Piece, TokenClasses
from redraft.ops.vocabulary.types import Picked, Positions, PositionStatistics, SpanConstraint

# Below every logit, in place of -inf, whose differences are no numbers.
MIN_LOG_MASS = -1e30


def read_constrained(
    positions: Positions,
    embedding: Tensor,
    softcap: float | None,
    constraint: SpanConstraint,
    wanted: Tensor,
) -> PositionStatistics:
    """Return the statistics of the wanted positions of a constraint's span.

    `positions` are the wanted ones; `wanted`, bool, marks them among the positions of the span. The
    row has no filter.
    """
    reading = _Reading(positions, embedding, softcap, constraint.classes(embedding.device))
    return reading.found(constraint.pick(reading.mass, reading.best, positions.uniform, wanted))


class _Reading:
    """One row's positions against the vocabulary by classes.

    Attributes:
        mass, best, inner: float32 [N, K]: of each class the log mass, the greatest logit, and the
            entropy within it.
    """

    def __init__(
        self, positions: Positions, embedding: Tensor, softcap: float | None, classes: TokenClasses
    ) -> None:
        self.count = len(positions.states)
        owner = int(positions.owners[0])
        of_row = [
            edits if row == owner else None for row, edits in enumerate(positions.readout.edits)
        ]
        self.positions = replace(
            positions, readout=replace(positions.readout, edits=of_row)
        ).padded()
        self.embedding, self.softcap, self.classes = embedding, softcap, classes
        self.edited = of_row[owner] is not None
        shape = len(self.positions.states), classes.count
        self.mass = positions.states.new_full(shape, MIN_LOG_MASS, dtype=torch.float32)
        self.best, self.inner = self.mass.clone(), torch.zeros_like(self.mass)
        self._wide = {
            number: self._read_wide(number, pieces) for number, pieces in classes.wide.items()
        }
        for piece in classes.narrow:
            self._read_narrow(piece)
        self.mass, self.best, self.inner = (
            each[: self.count] for each in (self.mass, self.best, self.inner)
        )

    def logits(self, piece: Piece, positions: Positions) -> tuple[Tensor, Tensor]:
        """Edited, tempered logits float32 [N, C] of a piece, and its embeddings [C, H]."""
        rows = piece.embeddings(self.embedding)
        logits = bounded_logits(positions.states, rows, self.softcap)
        readout = positions.readout.among(piece.tokens)
        logits = tempered_logits(logits, positions.owners, readout, logit_unit(self.softcap))
        if piece.out is not None:
            logits.index_fill_(1, piece.out, -torch.inf)
        return logits, rows

    def _read_wide(self, number: int, pieces: tuple[Piece, ...]) -> RunningSums:
        sums = RunningSums.nothing(self.positions.states, self.edited)
        at = 0
        for piece in pieces:
            logits, rows = self.logits(piece, self.positions)
            sums.add(logits, rows, at, piece.out)
            at += len(piece.tokens)
        self.mass[:, number] = sums.top + sums.total.log()
        self.best[:, number] = sums.top
        self.inner[:, number] = (sums.total.log() - sums.weighted / sums.total).clamp_min_(0.0)
        return sums

    def _read_narrow(self, piece: Piece) -> None:
        logits, _ = self.logits(piece, self.positions)
        shape = len(logits), piece.count
        top = logits.new_full(shape, MIN_LOG_MASS).scatter_reduce_(
            1, piece.kinds.expand_as(logits), logits, "amax"
        )
        below = logits.sub_(top.index_select(1, piece.kinds))
        mass = below.exp()
        total, weighted = piece.sums(mass), piece.sums(below.mul_(mass))
        self.best[:, piece.numbers] = top
        self.mass[:, piece.numbers] = top + total.log()
        self.inner[:, piece.numbers] = (total.log() - weighted / total).clamp_min_(0.0)

    def found(self, picked: Picked) -> PositionStatistics:
        """Tokens, entropies and mean embeddings of what was picked."""
        share = picked.marginals
        soft = torch.zeros_like(self.positions.states[: self.count], dtype=torch.float32)
        argmax, sample = torch.zeros_like(picked.best), torch.zeros_like(picked.best)
        for number, pieces in self.classes.wide.items():
            sums = self._wide[number]
            soft += share[:, number, None] * (sums.soft / sums.total[:, None])[: self.count]
            tokens = torch.cat([piece.tokens for piece in pieces])
            argmax = torch.where(picked.best == number, tokens[sums.argmax[: self.count]], argmax)
            self._sample_wide(
                pieces,
                sums,
                picked.uniform,
                (picked.sample == number).nonzero().squeeze(-1),
                sample,
            )
        for piece in self.classes.narrow:
            self._find_narrow(piece, picked, soft, argmax, sample)
        greedy = self.positions.readout.greedy[self.positions.owners[: self.count]]
        entropy = torch.special.entr(share).sum(dim=-1) + (share * self.inner).sum(dim=-1)
        chosen = self.best.gather(1, picked.best[:, None]) - self.mass.gather(
            1, picked.best[:, None]
        )
        confidence = (share.gather(1, picked.best[:, None]) * chosen.exp()).squeeze(1)
        return PositionStatistics(
            argmax,
            torch.where(greedy, argmax, sample),
            entropy,
            confidence,
            soft.to(self.embedding.dtype),
        )

    def _sample_wide(
        self,
        pieces: tuple[Piece, ...],
        sums: RunningSums,
        uniform: Tensor,
        mine: Tensor,
        sample: Tensor,
    ) -> None:
        """Sampled tokens of the positions `mine`, whose class this is, put in place."""
        if not len(mine):
            return
        where, left = sums.chunk_of(uniform[mine], mine)
        for number in where.unique().tolist():
            here = (where == number).nonzero().squeeze(-1)
            logits, _ = self.logits(pieces[number], self.positions[mine[here]].padded())
            mass = torch.exp(logits[: len(here)] - sums.top[mine[here]][:, None])
            sample[mine[here]] = pieces[number].tokens[first_beyond(mass, left[here])]

    def _find_narrow(
        self, piece: Piece, picked: Picked, soft: Tensor, argmax: Tensor, sample: Tensor
    ) -> None:
        """Put in place the tokens of a piece's classes, and add their part of the mean
        embedding."""
        share = picked.marginals[:, piece.numbers]
        needed = share.sum(dim=-1) > 0
        for which in (picked.best, picked.sample):
            needed |= torch.isin(which, piece.numbers)
        mine = needed.nonzero().squeeze(-1)
        if not len(mine):
            return
        logits, rows = self.logits(piece, self.positions[mine].padded())
        within = torch.exp(
            logits[: len(mine)] - self.mass[mine].index_select(1, piece.numbers[piece.kinds])
        )
        weights = pad_for_invariance(within * share[mine].index_select(1, piece.kinds))
        soft[mine] += linear(weights.to(rows.dtype), rows.T)[: len(mine)]
        for chosen, token in ((picked.best, argmax), (picked.sample, sample)):
            here = torch.isin(chosen[mine], piece.numbers).nonzero().squeeze(-1)
            mass = within[here].masked_fill_(
                piece.numbers[piece.kinds] != chosen[mine[here], None], 0.0
            )
            if token is argmax:
                at = mass.argmax(dim=-1)
            else:
                at = first_beyond(
                    mass, picked.uniform[mine[here]] * mass.sum(dim=-1, dtype=torch.float64)
                )
            token[mine[here]] = piece.tokens[at]
