"""Infill, left to right, for comparison: holes are written behind what stands before them.

The length of each is searched by the same score that diffusion's candidates have.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np

from redraft.config import GenerationConfig, ModelConfig
from redraft.editing.layout import Pieces, behind
from redraft.editing.result import Candidate, Infilled
from redraft.editing.scores import Scored, score_texts, total
from redraft.editing.template import Hole, Template
from redraft.engine.memory_budget import Share
from redraft.engine.prefix_rows import prefix_row
from redraft.engine.row import Drawn, NextToken, Part, Row
from redraft.engine.work import Course, Resources, Work
from redraft.text import Tokenizer

# Lengths of a hole that are scored at most: each reads the text behind the hole anew.
MAX_LENGTHS = 64
GREEDY = GenerationConfig(temperature=0.0)


@dataclass
class AutoregressiveInfill(Work):
    """Fills holes greedily, one after the other; completes with Infilled.

    Of the lengths from a hole's minimum on, the one is kept with which the text goes on most
    likely: of all of them, or of MAX_LENGTHS evenly spread where there are more. Pieces have no
    borders here. ends: tokens that end a hole.
    """

    tokenizer: Tokenizer
    template: Template
    pieces: Pieces
    ends: Sequence[int]
    seed: int

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def _capacity_behind(self) -> int:
        return sum(hole.max_tokens for hole in self.template.holes) + self.pieces.between_length

    def share(self, config: ModelConfig) -> Share:
        # The text so far, a copy of it for the hole that is being written, and a row a length.
        rows = max(len(_lengths(hole, hole.max_tokens)) for hole in self.template.holes)
        return Share(rows=rows, caches=2, tokens=len(self.pieces.prefix) + self._capacity_behind)

    def course(self, resources: Resources) -> Course:
        pieces, first = self.pieces, self.template.holes[0]
        capacity = len(pieces.prefix) + self._capacity_behind
        row = prefix_row(resources, pieces.prefix, capacity, self._greedy(first, 0, resources))
        yield [row]
        score = total((yield from self._scores(resources, row, [pieces.left]))[0])
        seen = min(resources.config.canvas_length, pieces.right_length)
        before, fills, widths, steps = pieces.left, list[str](), list[int](), 0
        texts = [*pieces.between, behind(pieces, seen)]
        for hole, text in zip(self.template.holes, texts, strict=True):
            if before:
                row.append(Part(tuple(before), self._greedy(hole, 0, resources)))
                yield [row]
            written = yield from self._write(row, hole, resources)
            steps += len(written)
            lengths = _lengths(hole, len(written))
            ways = [written[:count] + text for count in lengths]
            found = [total(one) for one in (yield from self._scores(resources, row, ways))]
            best = max(range(len(found)), key=found.__getitem__)
            chosen = written[: lengths[best]]
            score += found[best]
            fills.append(self.tokenizer.decode(chosen))
            widths.append(len(chosen))
            before = chosen + text
        candidate = Candidate(tuple(widths), tuple(fills), steps, score)
        context = seen, pieces.right_length
        filled = self.template.filled(fills)
        self.complete(Infilled(filled, candidate.fills, (candidate,), context, self.seed))

    def _scores(self, resources: Resources, row: Row, texts: Sequence[Sequence[int]]) -> Scored:
        drawn = row.result
        assert isinstance(drawn, Drawn)
        return (yield from score_texts(resources, row, drawn.state, texts))

    def _write(
        self, prefix: Row, hole: Hole, resources: Resources
    ) -> Generator[Sequence[Row], None, list[int]]:
        """Write a hole behind a prefix: the likeliest token after the other."""
        row, drawn = Row(resources.prefixes, base=prefix.begin()), prefix.result
        written: list[int] = []
        while True:
            assert isinstance(drawn, Drawn)
            if drawn.token in self.ends:
                return written
            written.append(drawn.token)
            if len(written) == hole.max_tokens:
                return written
            readout = self._greedy(hole, len(written), resources)
            row.append(Part((drawn.token,), readout, batch_invariant=False))
            yield [row]
            drawn = row.result

    def _greedy(self, hole: Hole, written: int, resources: Resources) -> NextToken:
        """Return how the next token of a hole is drawn; below its minimum it cannot end."""
        allowed = None
        if written < hole.min_tokens and self.ends:
            allowed = np.ones(resources.config.vocab_size, dtype=bool)
            allowed[list(self.ends)] = False
        return NextToken(GREEDY, (self.seed, 0, 0), written + 1, allowed=allowed)


def _lengths(hole: Hole, written: int) -> list[int]:
    """Return the lengths of a hole that are scored, of the tokens written for it."""
    every = range(hole.min_tokens, written + 1)
    if len(every) <= MAX_LENGTHS:
        return list(every)
    last = len(every) - 1
    return [every[round(last * number / (MAX_LENGTHS - 1))] for number in range(MAX_LENGTHS)]
