"""Repair: the tokens that a model finds least likely are noised again and denoised, where that
makes a likelier text.

Which tokens are in doubt, and whether a change is for the better, is judged left to right (see
`score`); what stands in their place is found from both sides. A token can be exchanged, and by a
model that learnt to pad also left out; none is put in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from redraft.config import GenerationConfig
from redraft.editing.diff import unified_diff
from redraft.editing.fill import Row, fill
from redraft.editing.layout import Pieces, Placed
from redraft.editing.score import log_probabilities
from redraft.engine.logit_edits import logit_edits
from redraft.network import Cache, DiffusionGemma
from redraft.text import Tokenizer

DOUBT = math.log(0.5)  # a token less likely than this may be wrong
GAIN = 2.0  # nats by which every exchanged token must make the text likelier


@dataclass(frozen=True)
class Change:
    """One change that was kept. at: character of the text as it was then. score: nats by which the
    text became likelier."""

    at: int
    before: str
    after: str
    score: float


@dataclass(frozen=True)
class Repaired:
    """A repaired text. steps: denoising steps of all that was tried. seed: repairs the same
    again."""

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
class Repair:
    """A text being repaired, from its beginning on, half a canvas at a time: the other half is what
    comes behind.

    Attributes:
        opening: tokens before the text. closing: what ends it where it is an answer. filling: what
            fills a canvas behind that.
        most: tokens noised at a time, at most. rounds: changes to each half canvas, at most.
    """

    network: DiffusionGemma
    tokenizer: Tokenizer
    config: GenerationConfig
    opening: list[int]
    closing: list[int]
    filling: int
    most: int
    rounds: int
    steps: int = 0

    @torch.inference_mode()
    def run(self, text: str) -> Repaired:
        """Repair a text.

        Raises:
            NonFiniteError: broken weights.
        """
        ended = (
            text.rstrip("\r\n") if self.closing else text
        )  # an answer ends without the line ends of a file
        spelled = _Spelled(*self.tokenizer.spell(ended))
        cache = self.network.new_cache(len(self.opening) + len(spelled.tokens))
        last = self.network.read(self.opening, cache)
        done, changes = _Spelled([], []), list[Change]()
        half = max(1, self.network.config.canvas_length // 2)
        while spelled.tokens:
            spelled, found = self._better(cache, last, spelled, half)
            start = sum(map(len, done.texts))
            changes += [replace(change, at=change.at + start) for change in found]
            here, spelled = spelled.part(0, half), spelled.part(half, len(spelled.tokens))
            done += here
            if here.tokens and spelled.tokens:
                last = self.network.read(here.tokens, cache)
        assert self.config.seed is not None
        return Repaired(
            "".join(done.texts) + text[len(ended) :],
            text,
            tuple(changes),
            self.steps,
            self.config.seed,
        )

    def _better(
        self, cache: Cache, last: Tensor, spelled: _Spelled, half: int
    ) -> tuple[_Spelled, list[Change]]:
        """The text with the first `half` tokens repaired, and what was changed."""
        changes: list[Change] = []
        edits = logit_edits(self.config, self.opening, self.network.device)
        for number in range(self.rounds):
            width = min(len(spelled.tokens), self.network.config.canvas_length)
            (likely,) = log_probabilities(
                self.network, cache, last, [self._ended(spelled.tokens[:width], spelled)]
            )
            sets = self._in_doubt(likely[: min(half, width)].tolist(), spelled)
            if not sets:
                break
            rows = [
                self._row(cache, spelled, width, chosen, number * 16 + at)
                for at, chosen in enumerate(sets)
            ]
            for _ in fill(rows, self.network, self.config, edits):
                self.steps += 1
            kept = [
                (count, other)
                for count, other in (self._spelled(row, spelled, width) for row in rows)
                if count
            ]
            if not kept:
                break
            texts = [
                self._ended(other.tokens[: width + len(other.tokens) - len(spelled.tokens)], other)
                for _, other in kept
            ]
            scored = log_probabilities(self.network, cache, last, texts)
            gains = [float(found.sum() - likely.sum()) for found in scored]
            worth = [gain - GAIN * count for gain, (count, _) in zip(gains, kept, strict=True)]
            best = max(range(len(kept)), key=lambda at: worth[at])
            if worth[best] <= 0:
                break
            changes.append(_change(spelled, kept[best][1], gains[best]))
            spelled = kept[best][1]
        return spelled, changes

    def _ended(self, tokens: list[int], spelled: _Spelled) -> list[int]:
        """Tokens as they are scored: with the end of the turn where the text ends with them."""
        return tokens + self.closing if len(tokens) == len(spelled.tokens) else tokens

    def _in_doubt(self, likely: Sequence[float], spelled: _Spelled) -> list[list[int]]:
        """The least likely position, the two least likely, four, and so on; of tokens that are
        whole texts of their own."""
        texts = self.tokenizer.texts

        def may_change(at: int) -> bool:
            token = spelled.tokens[at]
            return (
                likely[at] < DOUBT
                and token < len(texts)
                and texts[token] == spelled.texts[at] != ""
            )

        order = sorted(filter(may_change, range(len(likely))), key=lambda at: likely[at])[
            : self.most
        ]
        counts = sorted({min(2**power, len(order)) for power in range(8)} - {0})
        return [sorted(order[:count]) for count in counts]

    def _row(
        self, cache: Cache, spelled: _Spelled, width: int, chosen: list[int], number: int
    ) -> Row:
        """The first `width` tokens on a canvas, those that were chosen open."""
        tokens = [0 if at in chosen else token for at, token in enumerate(spelled.tokens[:width])]
        if width == len(spelled.tokens) and self.closing:
            length = self.network.config.canvas_length
            tokens += (self.closing + [self.filling] * length)[: length - width]
        holes = tuple(range(at, at + 1) for at in chosen)
        pieces = Pieces([], [], [], [], [], [], ())
        placed = Placed(pieces, tokens, holes, {}, (range(len(tokens)),), 0, (1,) * len(chosen))
        assert self.config.seed is not None
        return Row(number, placed, self.network, cache, self.config.seed, frozenset())

    def _spelled(self, row: Row, before: _Spelled, width: int) -> tuple[int, _Spelled]:
        """What a row made of the text, and how many tokens it exchanged; what is no text of its own
        changes nothing."""
        now, count, texts = _Spelled([], []), 0, self.tokenizer.texts
        for at in range(width):
            new, old = row.tokens[at], before.part(at, at + 1)
            left_out = at in row.history and new == self.network.config.pad_token_id
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


def _change(before: _Spelled, after: _Spelled, score: float) -> Change:
    """What differs between two texts, as one span."""
    old, new = "".join(before.texts), "".join(after.texts)
    first = next(
        (at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b),
        min(len(old), len(new)),
    )
    most = min(len(old), len(new)) - first
    same = next((at for at in range(most) if old[-1 - at] != new[-1 - at]), most)
    return Change(first, old[first : len(old) - same], new[first : len(new) - same], score)
