"""Repair: the tokens that a model finds least likely are noised again and denoised, where that
makes a likelier text.

Which tokens are in doubt, and whether a change is for the better, is judged left to right (see
`score`); what stands in their place is found from both sides. A token can be exchanged, and by a
model that learnt to pad also left out; none is put in.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from redraft.config import GenerationConfig, ModelConfig
from redraft.diffusion import Sampler, StoppingCriteria
from redraft.editing.candidate_row import CandidateRow
from redraft.editing.diff import unified_diff
from redraft.editing.layout import CanvasLayout
from redraft.editing.scores import Scored, score_texts
from redraft.engine.logit_edits import logit_edits
from redraft.engine.memory_budget import Share
from redraft.engine.prefix_rows import prefix_row
from redraft.engine.row import LastState, Part, Row
from redraft.engine.work import Course, Resources, Work
from redraft.short_repr import with_short_repr
from redraft.text import Tokenizer

MAX_SETS = 16  # sets of tokens that are tried in one round
DOUBT = math.log(0.5)  # a token less likely than this may be wrong
GAIN = 2.0  # nats by which every exchanged token must make the text likelier


@dataclass(frozen=True)
class Change:
    """One change that was kept.

    at: character of the text as it was then. score: nats by which the text became likelier.
    """

    at: int
    before: str
    after: str
    score: float


@with_short_repr()
@dataclass(frozen=True)
class Repaired:
    """A repaired text.

    original: the text as it was. changes: those that were kept, in their order. steps: denoising
    steps of all candidates. seed: repairs the same again.
    """

    text: str
    original: str
    changes: tuple[Change, ...]
    steps: int
    seed: int

    @property
    def diff(self) -> str:
        """All changes as a unified diff."""
        return unified_diff(self.original, self.text)


@dataclass(frozen=True)
class _Spelled:
    """Tokens and the text that each stands for, end to end the whole text."""

    tokens: list[int]
    texts: list[str]

    def part(self, first: int, last: int) -> _Spelled:
        return _Spelled(self.tokens[first:last], self.texts[first:last])

    def __add__(self, other: _Spelled) -> _Spelled:
        return _Spelled(self.tokens + other.tokens, self.texts + other.texts)


@dataclass
class RepairCandidates(Work):
    """Repairs a text, from its beginning on, half a canvas at a time; completes with Repaired.

    The other half of the canvas holds what stands behind.

    Attributes:
        text: what is repaired. opening: tokens before it. closing: tokens that end it where it is
            an answer. fill_token: fills a canvas behind that.
        max_noised: tokens that are noised at a time, at most. rounds: changes to each half canvas,
            at most.
        sampler, stopping: strategies of every canvas; None for those of the settings.
        steps: denoising steps so far.
    """

    tokenizer: Tokenizer
    config: GenerationConfig
    text: str
    opening: list[int]
    closing: list[int]
    fill_token: int
    pad_token_id: int
    max_noised: int
    rounds: int
    sampler: Sampler | None = None
    stopping: StoppingCriteria | None = None
    steps: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        # An answer ends without the line ends of a file.
        self._ended_text = self.text.rstrip("\r\n") if self.closing else self.text
        self._spelled = _Spelled(*self.tokenizer.encode_parts(self._ended_text))

    def share(self, config: ModelConfig) -> Share:
        candidates = self.max_noised.bit_length() + 1
        return Share(candidates, 1, len(self.opening) + len(self._spelled.tokens))

    def course(self, resources: Resources) -> Course:
        spelled, done, changes = self._spelled, _Spelled([], []), list[Change]()
        capacity = len(self.opening) + len(spelled.tokens)
        prefix = prefix_row(resources, self.opening, capacity, LastState())
        yield [prefix]
        half = max(1, resources.config.canvas_length // 2)
        while spelled.tokens:
            last = prefix.result
            assert isinstance(last, Tensor)
            window = _Window(resources, prefix, last, half)
            spelled, found = yield from self._repair_half(window, spelled)
            start = sum(map(len, done.texts))
            changes += [replace(change, at=change.at + start) for change in found]
            here, spelled = spelled.part(0, half), spelled.part(half, len(spelled.tokens))
            done += here
            if here.tokens and spelled.tokens:
                prefix.append(Part(tuple(here.tokens), LastState()))
                yield [prefix]
        assert self.config.seed is not None
        repaired = "".join(done.texts) + self.text[len(self._ended_text) :]
        seed = self.config.seed
        self.complete(Repaired(repaired, self.text, tuple(changes), self.steps, seed))

    def _repair_half(
        self, window: _Window, spelled: _Spelled
    ) -> Generator[Sequence[Row], None, tuple[_Spelled, list[Change]]]:
        """Return the text with the first half of a canvas repaired, and what was changed."""
        changes: list[Change] = []
        for number in range(self.rounds):
            width = min(len(spelled.tokens), window.canvas_length)
            current = self._ended(spelled.tokens[:width], spelled)
            (likely,) = yield from window.scores([current])
            sets = self._in_doubt(likely[: min(window.half, width)].tolist(), spelled)
            if not sets:
                break
            rows = self._candidates(window, spelled, sets, number)
            yield from self._denoise(rows)
            read = [self._read(row, spelled, width) for row in rows]
            kept = [(count, other) for count, other in read if count]
            if not kept:
                break
            texts = [self._scored_part(other, spelled, width) for _, other in kept]
            scored = yield from window.scores(texts)
            gains = [float(found.sum() - likely.sum()) for found in scored]
            worth = [gain - GAIN * count for gain, (count, _) in zip(gains, kept, strict=True)]
            best = max(range(len(kept)), key=worth.__getitem__)
            if worth[best] <= 0:
                break
            changes.append(_change(spelled, kept[best][1], gains[best]))
            spelled = kept[best][1]
        return spelled, changes

    def _denoise(self, rows: Sequence[CandidateRow]) -> Iterator[Sequence[Row]]:
        while left := [row for row in rows if not row.settled]:
            yield [row.row for row in left]
            for row in left:
                row.absorb()
            self.steps += len(left)

    def _candidates(
        self, window: _Window, spelled: _Spelled, sets: list[list[int]], number: int
    ) -> list[CandidateRow]:
        """Return a candidate for each set of positions that is noised."""
        edits = logit_edits(self.config, self.opening, window.resources.device)
        rows: list[CandidateRow] = []
        for at, chosen in enumerate(sets):
            layout = self._layout(spelled, chosen, window.canvas_length)
            stream = number * MAX_SETS + at
            rows.append(
                CandidateRow(
                    stream,
                    layout,
                    window.prefix,
                    window.resources,
                    self.config,
                    edits,
                    sampler=self.sampler,
                    stopping=self.stopping,
                )
            )
        return rows

    def _scored_part(self, other: _Spelled, spelled: _Spelled, width: int) -> list[int]:
        """Return as much of a changed text as is scored of the text before."""
        stop = width + len(other.tokens) - len(spelled.tokens)
        return self._ended(other.tokens[:stop], other)

    def _layout(self, spelled: _Spelled, chosen: list[int], length: int) -> CanvasLayout:
        """Return the first tokens on a canvas of `length`, the chosen ones open."""
        here = spelled.tokens[:length]
        tokens = [0 if at in chosen else token for at, token in enumerate(here)]
        if len(here) == len(spelled.tokens) and self.closing:
            tokens += (self.closing + [self.fill_token] * length)[: length - len(here)]
        holes = tuple(range(at, at + 1) for at in chosen)
        return CanvasLayout(tokens, holes, (range(len(tokens)),))

    def _ended(self, tokens: list[int], spelled: _Spelled) -> list[int]:
        """Return tokens as they are scored: with the end of the turn where they end the text."""
        return tokens + self.closing if len(tokens) == len(spelled.tokens) else tokens

    def _in_doubt(self, likely: Sequence[float], spelled: _Spelled) -> list[list[int]]:
        """Return sets of positions to noise: the least likely one, the two least likely, four, and
        so on.

        Only tokens that are whole texts of their own are noised.
        """
        texts = self.tokenizer.token_texts

        def may_change(at: int) -> bool:
            token = spelled.tokens[at]
            return (
                likely[at] < DOUBT
                and token < len(texts)
                and texts[token] == spelled.texts[at] != ""
            )

        order = sorted(filter(may_change, range(len(likely))), key=lambda at: likely[at])[
            : self.max_noised
        ]
        counts = sorted({min(2**power, len(order)) for power in range(8)} - {0})
        return [sorted(order[:count]) for count in counts]

    def _read(self, row: CandidateRow, before: _Spelled, width: int) -> tuple[int, _Spelled]:
        """Return the number of tokens that a row exchanged, and the text with them.

        A token that is no text of its own changes nothing.
        """
        now, count, texts = _Spelled([], []), 0, self.tokenizer.token_texts
        for at in range(width):
            new, old = row.tokens[at], before.part(at, at + 1)
            left_out = at in row.history and new == self.pad_token_id
            other = (
                at in row.history
                and new != before.tokens[at]
                and new < len(texts)
                and texts[new] != ""
            )
            count += left_out or other
            if not left_out:
                now += _Spelled([new], [texts[new]]) if other else old
        return count, now + before.part(width, len(before.tokens))


@dataclass(frozen=True)
class _Window:
    """Place of a repair: behind what `prefix` holds, whose last state is `last` [H]."""

    resources: Resources
    prefix: Row
    last: Tensor
    half: int

    @property
    def canvas_length(self) -> int:
        return self.resources.config.canvas_length

    def scores(self, texts: Sequence[Sequence[int]]) -> Scored:
        """Yield rows that score texts behind the prefix; return their log-probabilities."""
        return (yield from score_texts(self.resources, self.prefix, self.last, texts))


def _change(before: _Spelled, after: _Spelled, score: float) -> Change:
    """Return what differs between two texts, as one span."""
    old, new = "".join(before.texts), "".join(after.texts)
    first = next(
        (at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b),
        min(len(old), len(new)),
    )
    most = min(len(old), len(new)) - first
    same = next((at for at in range(most) if old[-1 - at] != new[-1 - at]), most)
    return Change(first, old[first : len(old) - same], new[first : len(new) - same], score)
