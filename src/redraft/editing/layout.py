"""Layout: where a template's tokens lie: in the prefix, and on the canvases behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from redraft.editing.template import Template
from redraft.editing.token_healing import Seam, before_hole, behind_hole
from redraft.text import Tokenizer

LEFT_SHARE = 4  # of a canvas, a quarter at most is what stands before the first hole
NARROW = 8  # an eighth of a single canvas is enough for the text behind the holes
WIDE = 2  # where there are several, it has half of the last


@dataclass(frozen=True)
class Pieces:
    """A template as tokens.

    Attributes:
        prefix: what is encoded before the canvas: the instruction, and the text before the line of
            the first hole.
        left: the rest of that line, or the end of it. between: what stands between the holes.
            right: what stands behind the last.
        closing: what ends the answer where all of `right` is on the canvas.
        end: what is scored behind the whole text: it ends there.
        seams: of each hole, before and behind it; the tokens that they stand for are not among the
            others.
        between_length: tokens before and between the holes, without the prefix's. right_length:
            tokens behind the last hole, a seam's too.
    """

    prefix: list[int]
    left: list[int]
    between: list[list[int]]
    right: list[int]
    closing: list[int]
    end: list[int]
    seams: tuple[tuple[Seam | None, Seam | None], ...]

    @property
    def between_length(self) -> int:
        return len(self.left) + sum(map(len, self.between))

    @property
    def right_length(self) -> int:
        seam = self.seams[-1][1]
        return len(self.right) + (seam.count if seam else 0)

    @classmethod
    def of(
        cls,
        template: Template,
        tokenizer: Tokenizer,
        opening: list[int],
        closing: list[int],
        end: list[int],
        length: int,
    ) -> Pieces:
        """Texts are encoded apart, so that what stands outside the holes comes back as it was, for
        canvases of `length`. An answer ends without the line ends that a file has there."""
        first, *middle, last = template.texts
        last = last.rstrip("\r\n") if closing else last
        line = first.rfind("\n") + 1
        prefix = opening + tokenizer.encode(first[:line], bos=False)
        left = tokenizer.encode(first[line:], bos=False)
        far = max(0, len(left) - length // LEFT_SHARE)
        if not prefix and not far:
            far = len(left)
        prefix, left = prefix + left[:far], left[far:]
        between = [tokenizer.encode(text, bos=False) for text in middle]
        seams = ((None, None),) * len(template.holes)
        return cls(prefix, left, between, tokenizer.encode(last, bos=False), closing, end, seams)

    def healed(self, texts: Sequence[str], bound: Sequence[bool] = ()) -> Pieces:
        """The same with seams; `texts` are those of all tokens. Holes that are `bound` to a
        constraint have none: what fills them must not depend on what a seam has from outside."""
        around = [list(self.left), *map(list, self.between), list(self.right)]
        seams: list[tuple[Seam | None, Seam | None]] = []
        for number, (before, behind) in enumerate(pairwise(around)):
            if number < len(bound) and bound[number]:
                seams.append((None, None))
                continue
            one = before_hole(before, texts)
            if one:
                del before[-one.count :]
            other = behind_hole(behind, texts)
            if other:
                del behind[: other.count]
            seams.append((one, other))
        return replace(
            self, left=around[0], between=around[1:-1], right=around[-1], seams=tuple(seams)
        )


@dataclass(frozen=True)
class Placed:
    """A template with holes of certain widths on its canvases.

    Attributes:
        pieces: what was laid out.
        tokens: one a position, all canvases end to end without what is free; 0 where it is open.
        holes: the open positions of each hole, seams and all. seams: position -> what it may take.
        canvases: the positions of each canvas. Behind the last of them a canvas is free: open, and
            nobody reads it.
        right_seen: how many tokens of the text behind the last hole are on the last canvas.
        widths: tokens that each hole has room for.
    """

    pieces: Pieces
    tokens: list[int]
    holes: tuple[range, ...]
    seams: Mapping[int, Seam]
    canvases: tuple[range, ...]
    right_seen: int
    widths: tuple[int, ...]


def place(pieces: Pieces, widths: Sequence[int], length: int, filling: int) -> Placed:
    """Lay pieces out on canvases of `length`; behind a closing the last canvas is filled with
    `filling`.

    One canvas where the holes leave an eighth of it to the text behind them; else several, the end
    of the last hole and the text behind it on the last.
    """
    tokens, holes = list(pieces.left), list[range]()
    seams: dict[int, Seam] = {}
    for width, (before, behind), text in zip(
        widths, pieces.seams, [*pieces.between, []], strict=True
    ):
        start = len(tokens)
        stop = start + width + (before is not None) + (behind is not None)
        seams |= {at: seam for at, seam in ((start, before), (stop - 1, behind)) if seam}
        holes.append(range(start, stop))
        tokens += [0] * len(holes[-1]) + text
    starts = _starts(len(tokens), len(pieces.right) + len(pieces.closing), length)
    room = starts[-1] + length - len(tokens)
    seen = pieces.right[:room]
    tokens += seen
    if len(seen) == len(pieces.right) and pieces.closing:
        tokens += (pieces.closing + [filling] * room)[: room - len(seen)]
    ends = [*starts[1:], len(tokens)]
    canvases = tuple(range(start, end) for start, end in zip(starts, ends, strict=True))
    right_seen = len(seen) + pieces.right_length - len(pieces.right)
    return Placed(pieces, tokens, tuple(holes), seams, canvases, right_seen, tuple(widths))


def _starts(content: int, behind: int, length: int) -> list[int]:
    """Where each canvas begins, for `content` positions up to the end of the last hole and `behind`
    tokens after it."""
    if content + min(behind, length // NARROW) <= length:
        return [0]
    last = content + min(behind, length // WIDE) - length
    return [*range(0, last, length), last]


def widths_to_try(
    template: Template, most: int, least: Sequence[int] = ()
) -> list[tuple[int, ...]]:
    """At most `most` sets of widths, from every hole's least to its most, in steps of a like ratio;
    `least` is what constraints need of each."""
    tried: dict[tuple[int, ...], None] = {}
    for number in range(most):
        share = number / (most - 1) if most > 1 else 1.0
        lows = [
            max(hole.min_tokens, needed)
            for hole, needed in zip(template.holes, least or [1] * len(template.holes), strict=True)
        ]
        widths = tuple(
            round(low * (hole.max_tokens / low) ** share)
            for hole, low in zip(template.holes, lows, strict=True)
        )
        tried[widths] = None
    return list(tried)


def behind(pieces: Pieces, most: int) -> list[int]:
    """The first of what stands behind the last hole, `most` tokens with those of a seam, and the
    end where that is all."""
    seam = pieces.right_length - len(pieces.right)
    return pieces.right[: most - seam] + (pieces.end if most >= pieces.right_length else [])
