"""Filling: one template on its way from pieces to a filled text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from redraft.config import GenerationConfig
from redraft.editing.fill import Row, fill
from redraft.editing.layout import Placed, behind
from redraft.editing.prefix import Prefix
from redraft.editing.result import Candidate, Infilled
from redraft.editing.score import scores
from redraft.editing.template import Template
from redraft.engine import Share
from redraft.engine.logit_edits import logit_edits
from redraft.events import Draft
from redraft.grammar import TokenDFA
from redraft.network import DiffusionGemma
from redraft.text import Tokenizer
from redraft.text.tokenizer import BROKEN


@dataclass(frozen=True)
class Filling:
    """All that a fill needs; checked before. Among `placed` is one without seams at least;
    constraints are of each hole, or None."""

    network: DiffusionGemma
    tokenizer: Tokenizer
    template: Template
    placed: list[Placed]
    prefix: Prefix
    config: GenerationConfig
    budget: int | None
    constraints: tuple[TokenDFA | None, ...]

    @property
    def share(self) -> Share:
        """What it holds while it runs: the prefix, and a copy of it for each candidate of several
        canvases."""
        copies = sum(len(placed.canvases) > 1 for placed in self.placed)
        return Share(len(self.placed), 1 + copies, len(self.placed[0].pieces.prefix) + self.room)

    @property
    def room(self) -> int:
        """Tokens behind the prefix that a candidate's cache holds at most."""
        return (
            max(len(placed.canvases) for placed in self.placed) * self.network.config.canvas_length
        )

    def run(self) -> Iterator[Draft | Infilled]:
        """A Draft a candidate and step, its text the whole text as it would be, then what came of
        all.

        Raises:
            NonFiniteError: broken weights.
        """
        return (told for told in self.passes() if told is not None)

    def passes(self) -> Iterator[Draft | Infilled | None]:
        """The same for those who have other work between two passes: None where one had nothing to
        tell."""
        seed = self.config.seed
        assert seed is not None
        pieces = self.placed[0].pieces
        tokens = pieces.prefix
        # What is kept for later edits has room for the whole text.
        later = pieces.between_length + len(pieces.right) if self.prefix.kept else 0
        cache, last = yield from self.prefix.reading(tokens, self.room + later)
        with torch.inference_mode():
            unread = self.tokenizer.special_tokens() | {self.network.config.pad_token_id}
            rows = [
                Row(number, placed, self.network, cache, seed, unread, self.constraints)
                for number, placed in enumerate(self.placed)
            ]
        edits = logit_edits(self.config, tokens, self.network.device)
        for draft in fill(rows, self.network, self.config, edits, self.budget):
            text = self.template.filled([fill or "" for fill in self._fills(rows[draft.request])])
            yield replace(draft, text=text)
        rows = [row for row in rows if row.whole]
        for row in rows:
            held = (
                row.tokens[at] == given
                for at, given in enumerate(row.placed.tokens)
                if at not in row.history
            )
            assert all(held), "a frozen position changed"
        with torch.inference_mode():
            found = scores(self.network, cache, last, self._texts(rows))
        yield self._result(rows, found)

    def _result(self, rows: list[Row], found: list[float]) -> Infilled:
        """The best row, and all others behind it."""
        tried: list[tuple[Candidate, Row]] = []
        for row, score in zip(rows, found, strict=True):
            fills = self._fills(row)
            # A filling that does not keep what stands outside its hole is none: the tokenizer
            # joined what should stay apart.
            kept = tuple(text for text in fills if text is not None)
            if len(kept) == len(fills):
                tried.append((Candidate(row.placed.widths, kept, row.steps, score), row))
        # Half a character is worse than any other filling.
        tried.sort(key=lambda one: (BROKEN in "".join(one[0].fills), -one[0].score))
        best, row = tried[0]
        return Infilled(
            text=self.template.filled(best.fills),
            fills=best.fills,
            candidates=tuple(candidate for candidate, _ in tried),
            right_context=(row.placed.right_seen, row.placed.pieces.right_length),
            seed=row.seed,
            history=tuple(tuple(held) for held in row.history.values()),
        )

    def _fills(self, row: Row) -> list[str | None]:
        """The text of each hole so far, without what its seams have from outside; None where these
        are not as they were."""
        fills: list[str | None] = []
        for number, (left, right) in enumerate(row.placed.pieces.seams):
            text = self.tokenizer.decode(row.hole(number))
            first, last = (left.text if left else ""), (right.text if right else "")
            done = row.written >= row.placed.holes[number].stop
            if not done:
                fills.append(text.removeprefix(first))
            elif (
                text.startswith(first)
                and text.endswith(last)
                and len(text) >= len(first) + len(last)
            ):
                fills.append(text[len(first) : len(text) - len(last)])
            else:
                fills.append(None)
        return fills

    def _texts(self, rows: list[Row]) -> list[list[int]]:
        """What is scored of each row: up to the end of its last hole, and what stands behind as far
        as any row sees it."""
        most = max(row.placed.right_seen for row in rows)
        return [
            row.clean(range(row.placed.holes[-1].stop)) + behind(row.placed.pieces, most)
            for row in rows
        ]
