"""Layout: which tokens of a template lie in the prefix, and which on the canvases behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from redraft.editing.template import Template
from redraft.editing.token_healing import Seam, before_hole, behind_hole
from redraft.text import Tokenizer
from redraft.text.token_texts import TokenTexts

# Shares of a canvas: 1 / N of its positions.
MAX_LEFT_SHARE = 4  # for the text before the first hole
MIN_RIGHT_SHARE = 8  # for the text behind the last hole, on a single canvas
LAST_RIGHT_SHARE = 2  # for it on the last of several canvases


@dataclass(frozen=True)
class Pieces:
    """A template as tokens.

    Attributes:
        prefix: encoded before the canvas: the instruction, and the text before the line of the
            first hole.
        left: the rest of that line, or its end. between: the texts between the holes. right: the
            text behind the last hole.
        closing: tokens that end the answer where all of `right` is on the canvas.
        end: tokens scored behind the whole text, which end it.
        borders: two a hole, before and behind it: its seams, whose tokens are not among the others.
        between_length: number of tokens before and between the holes, without the prefix.
            right_length: number of tokens behind the last hole, those of a seam included.
    """

    prefix: list[int]
    left: list[int]
    between: list[list[int]]
    right: list[int]
    closing: list[int]
    end: list[int]
    borders: tuple[tuple[Seam | None, Seam | None], ...]

    @property
    def between_length(self) -> int:
        return len(self.left) + sum(map(len, self.between))

    @property
    def right_length(self) -> int:
        seam = self.borders[-1][1]
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
        """Tokenize a template for canvases of `length`.

        Texts are encoded apart, so that what stands outside the holes comes back as it was. An
        answer ends without the line ends that a file has there.
        """
        first, *middle, last = template.texts
        last = last.rstrip("\r\n") if closing else last
        line = first.rfind("\n") + 1
        prefix = opening + tokenizer.encode(first[:line], bos=False)
        left = tokenizer.encode(first[line:], bos=False)
        far = max(0, len(left) - length // MAX_LEFT_SHARE)
        if not prefix and not far:
            far = len(left)
        prefix, left = prefix + left[:far], left[far:]
        between = [tokenizer.encode(text, bos=False) for text in middle]
        borders = ((None, None),) * len(template.holes)
        return cls(prefix, left, between, tokenizer.encode(last, bos=False), closing, end, borders)

    def healed(self, texts: TokenTexts, bound: Sequence[bool] = ()) -> Pieces:
        """Return these pieces with borders; `texts` are those of all tokens.

        Holes that are `bound` to a constraint have none: what fills them must not depend on text
        from outside.
        """
        around = [list(self.left), *map(list, self.between), list(self.right)]
        borders: list[tuple[Seam | None, Seam | None]] = []
        for number, (before, behind) in enumerate(pairwise(around)):
            if number < len(bound) and bound[number]:
                borders.append((None, None))
                continue
            one = before_hole(before, texts)
            if one:
                del before[-one.count :]
            other = behind_hole(behind, texts)
            if other:
                del behind[: other.count]
            borders.append((one, other))
        return replace(
            self, left=around[0], between=around[1:-1], right=around[-1], borders=tuple(borders)
        )


@dataclass(frozen=True)
class CanvasLayout:
    """Frozen and open positions of a text on one or several canvases.

    Attributes:
        tokens: one a position, all canvases end to end; 0 where a position is open. Behind the
            last of them a canvas is free: open, and nobody reads it.
        holes: the open positions of each hole, borders included.
        canvases: the positions of each canvas.
        borders: position -> tokens that it may take.
    """

    tokens: list[int]
    holes: tuple[range, ...]
    canvases: tuple[range, ...]
    borders: Mapping[int, Seam] = field(default_factory=dict)


@dataclass(frozen=True)
class Placed:
    """A template with holes of certain widths on its canvases.

    Attributes:
        pieces: what was laid out. layout: where it lies.
        right_seen: number of tokens of the text behind the last hole that are on the last canvas.
        widths: tokens that each hole has room for.
    """

    pieces: Pieces
    layout: CanvasLayout
    right_seen: int
    widths: tuple[int, ...]


def place(pieces: Pieces, widths: Sequence[int], length: int, fill_token: int) -> Placed:
    """Lay pieces out on canvases of `length`; behind a closing the last canvas is filled with
    `fill_token`.

    One canvas where the holes leave an eighth of it to the text behind them; else several, the end
    of the last hole and the text behind it on the last.
    """
    tokens, holes = list(pieces.left), list[range]()
    borders: dict[int, Seam] = {}
    for width, (before, behind), text in zip(
        widths, pieces.borders, [*pieces.between, []], strict=True
    ):
        start = len(tokens)
        stop = start + width + (before is not None) + (behind is not None)
        borders |= {at: seam for at, seam in ((start, before), (stop - 1, behind)) if seam}
        holes.append(range(start, stop))
        tokens += [0] * len(holes[-1]) + text
    starts = _starts(len(tokens), len(pieces.right) + len(pieces.closing), length)
    room = starts[-1] + length - len(tokens)
    seen = pieces.right[:room]
    tokens += seen
    if len(seen) == len(pieces.right) and pieces.closing:
        tokens += (pieces.closing + [fill_token] * room)[: room - len(seen)]
    ends = [*starts[1:], len(tokens)]
    canvases = tuple(range(start, end) for start, end in zip(starts, ends, strict=True))
    right_seen = len(seen) + pieces.right_length - len(pieces.right)
    layout = CanvasLayout(tokens, tuple(holes), canvases, borders)
    return Placed(pieces, layout, right_seen, tuple(widths))


def _starts(content: int, behind: int, length: int) -> list[int]:
    """Return where each canvas begins: `content` positions end with the last hole, and `behind`
    tokens follow."""
    if content + min(behind, length // MIN_RIGHT_SHARE) <= length:
        return [0]
    last = content + min(behind, length // LAST_RIGHT_SHARE) - length
    return [*range(0, last, length), last]


def widths_to_try(
    template: Template, limit: int, needed: Sequence[int] = ()
) -> list[tuple[int, ...]]:
    """Return at most `limit` sets of widths, from every hole's minimum to its maximum.

    They grow by a like ratio. `needed` is the least that each hole's constraint takes.
    """
    needed = needed or [1] * len(template.holes)
    pairs = list(zip(template.holes, needed, strict=True))
    bounds = [(max(hole.min_tokens, least), hole.max_tokens) for hole, least in pairs]
    tried: dict[tuple[int, ...], None] = {}
    for number in range(limit):
        share = number / (limit - 1) if limit > 1 else 1.0
        tried[tuple(round(low * (high / low) ** share) for low, high in bounds)] = None
    return list(tried)


def behind(pieces: Pieces, limit: int) -> list[int]:
    """Return the first tokens behind the last hole, at most `limit` with those of a seam.

    Where these are all of them, the end of the text follows.
    """
    seam = pieces.right_length - len(pieces.right)
    return pieces.right[: limit - seam] + (pieces.end if limit >= pieces.right_length else [])
