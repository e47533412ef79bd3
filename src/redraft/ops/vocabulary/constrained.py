"""The form for constrained positions: the vocabulary by classes of tokens that a constraint cannot
tell apart.

First pass: of each class at each position, the log mass, the likeliest token and the mean of log
probabilities. From these the constraint infers how likely each class is where it stands, and picks
the classes of the best text and of a sampled one. Second
pass: tokens within the classes picked, and the mean embedding. All of it is exact; the constraint
never sees the vocabulary.

The filters of a row (top_k, top_p, min_p) drop tokens of the marginals, which are the distribution
that the constraint leaves. The text is then inferred once more. No position keeps a token that was
dropped, unless every text that is left needs one: then as few positions as can be.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from redraft.ops.batch_invariance import pad_for_invariance
from redraft.ops.linear import linear
from redraft.ops.vocabulary.chunked import RunningSums, first_beyond
from redraft.ops.vocabulary.dense import (
    bounded_logits,
    logit_unit,
    positions_per_block,
    tempered_logits,
)
from redraft.ops.vocabulary.logit_edits import LogitEdits
from redraft.ops.vocabulary.token_classes import Piece, TokenClasses
from redraft.ops.vocabulary.types import Picked, Positions, PositionStatistics, SpanConstraint

# Below every logit, in place of -inf, whose differences are no numbers.
MIN_LOG_MASS = -1e30
# Nats that a position loses where it takes a token that the filters dropped: more than the logits
# of a whole canvas differ, and still a number that can be summed up.
DROPPED = 1e9


def read_constrained(
    positions: Positions,
    embedding: Tensor,
    softcap: float | None,
    constraint: SpanConstraint,
    wanted: Tensor,
) -> PositionStatistics:
    """Return the statistics of the wanted positions of a constraint's span.

    `positions` are the wanted ones; `wanted`, bool, marks them among the positions of the span.
    """
    classes = constraint.classes(embedding.device)
    reading = _Reading(positions, embedding, softcap, classes)
    picked = constraint.pick(reading.mass, reading.best, positions.uniform, wanted)
    if reading.edits is not None and reading.edits.filters:
        kept = reading.kept(picked.marginals, reading.edits)
        reading = _Reading(positions, embedding, softcap, classes, kept)
        lost = DROPPED * reading.lost.double()
        picked = constraint.pick(
            reading.mass - lost, reading.best - lost, positions.uniform, wanted
        )
    return reading.found(picked)


class _Reading:
    """One row's positions against the vocabulary by classes.

    Attributes:
        mass, best, inner: float32 [N, K]: of each class the log mass, the greatest logit, and the
            entropy within it.
        lost: bool [N, K], classes none of whose tokens is kept. They stand here as they are.
        dropped: bool [N, V], tokens that are not kept, of the other classes; None for none.
    """

    def __init__(
        self,
        positions: Positions,
        embedding: Tensor,
        softcap: float | None,
        classes: TokenClasses,
        kept: Tensor | None = None,
    ) -> None:
        self.count = len(positions.states)
        owner = int(positions.owners[0])
        self.edits = positions.readout.edits[owner]
        of_row: list[LogitEdits | None] = [None] * len(positions.readout.edits)
        of_row[owner] = self.edits and self.edits.without_filters()
        self.positions = replace(
            positions, readout=replace(positions.readout, edits=of_row)
        ).padded()
        self.embedding, self.softcap, self.classes = embedding, softcap, classes
        self.lost = positions.states.new_zeros(self.count, classes.count, dtype=torch.bool)
        self.dropped: Tensor | None = None
        if kept is not None:
            inside = kept.new_zeros(self.count, classes.count + 1, dtype=torch.int32)
            column = classes.of_token % (classes.count + 1)  # the last one is of no class
            inside.index_add_(1, column, kept.int())
            self.lost = inside[:, :-1] == 0
            self.dropped = ~kept & (inside > 0)[:, column]
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

    def kept(self, marginals: Tensor, edits: LogitEdits) -> Tensor:
        """Return the tokens that the filters keep of the marginals [N, K], bool [N, V]."""
        share = marginals.log() - self.mass
        of_token, unit = self.classes.of_token, logit_unit(self.softcap)
        found = []
        size = positions_per_block(self.embedding)
        for start in range(0, self.count, size):
            part = share[start : start + size]
            block = self.positions[slice(start, start + len(part))].padded()
            logits = bounded_logits(block.states, self.embedding, self.softcap)
            logits = tempered_logits(logits, block.owners, block.readout, unit)[: len(part)]
            logits += part.index_select(1, of_token.clamp_min(0))
            edits.filter_logits(logits.masked_fill_(of_token < 0, -torch.inf))
            found.append(logits > -torch.inf)
        return torch.cat(found)

    def logits(self, piece: Piece, at: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the edited, tempered logits float32 [N, C] of a piece, and its embeddings [C, H].

        They are of the positions `at`, or of all, padded.
        """
        positions = self.positions if at is None else self.positions[at].padded()
        rows = piece.embeddings(self.embedding)
        logits = bounded_logits(positions.states, rows, self.softcap)
        readout = positions.readout.among(piece.tokens)
        logits = tempered_logits(logits, positions.owners, readout, logit_unit(self.softcap))
        if piece.out is not None:
            logits.index_fill_(1, piece.out, -torch.inf)
        if self.dropped is not None:
            dropped = self.dropped if at is None else self.dropped[at]
            logits[: len(dropped)].masked_fill_(dropped[:, piece.tokens], -torch.inf)
        return logits, rows

    def _read_wide(self, number: int, pieces: tuple[Piece, ...]) -> RunningSums:
        edited = self.edits is not None
        sums = RunningSums.nothing(self.positions.states, edited)
        at = 0
        for piece in pieces:
            logits, rows = self.logits(piece)
            sums.add(logits, rows, at, piece.out)
            at += len(piece.tokens)
        self.mass[:, number] = sums.top + sums.total.log()
        self.best[:, number] = sums.top
        self.inner[:, number] = (sums.total.log() - sums.weighted / sums.total).clamp_min_(0.0)
        return sums

    def _read_narrow(self, piece: Piece) -> None:
        logits, _ = self.logits(piece)
        shape = len(logits), piece.count
        top = logits.new_full(shape, MIN_LOG_MASS).scatter_reduce_(
            1, piece.kinds.expand_as(logits), logits, "amax"
        )
        below = logits.sub_(top.index_select(1, piece.kinds)).clamp_min_(MIN_LOG_MASS)
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
            logits, _ = self.logits(pieces[number], mine[here])
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
        logits, rows = self.logits(piece, mine)
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
