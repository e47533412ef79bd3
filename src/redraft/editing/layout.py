"""Layout: where a template's tokens lie, in the prefix and on the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redraft.editing.template import Template
from redraft.errors import RequestError
from redraft.text import Tokenizer


@dataclass(frozen=True)
class Pieces:
    """A template as tokens.

    Attributes:
        prefix: what is encoded before the canvas: the instruction, and the text before the line of the first hole.
        left: the rest of that line. between: what stands between the holes. right: what stands behind the last.
        closing: what ends the answer where all of `right` is on the canvas.
    """

    prefix: list[int]
    left: list[int]
    between: list[list[int]]
    right: list[int]
    closing: list[int]

    @classmethod
    def of(cls, template: Template, tokenizer: Tokenizer, opening: list[int], closing: list[int]) -> Pieces:
        """Texts are encoded apart, so that what stands outside the holes comes back as it was."""
        first, *middle, last = template.texts
        line = first.rfind("\n") + 1
        prefix = opening + tokenizer.encode(first[:line], bos=False)
        left = tokenizer.encode(first[line:], bos=False)
        if not prefix:
            prefix, left = left, []
        return cls(
            prefix,
            left,
            [tokenizer.encode(text, bos=False) for text in middle],
            tokenizer.encode(last, bos=False),
            closing,
        )


@dataclass(frozen=True)
class Placed:
    """A template with holes of certain widths on a canvas.

    Attributes:
        tokens: one a position, 0 in the holes. holes: their positions. free: positions behind everything, which nobody reads.
        right_seen: how many tokens of the text behind the last hole are on the canvas.
    """

    tokens: list[int]
    holes: tuple[range, ...]
    free: range
    right_seen: int


def place(pieces: Pieces, widths: Sequence[int], length: int, filling: int) -> Placed:
    """Lay pieces out on a canvas of `length`; behind a closing the canvas is filled with `filling`.

    Raises:
        RequestError: the holes and what must stand around them have no room.
    """
    needed = len(pieces.left) + sum(map(len, pieces.between)) + sum(widths)
    if needed > length:
        raise RequestError(
            f"holes of {sum(widths)} tokens and the {needed - sum(widths)} tokens before and between them need {needed} "
            f"positions, the canvas has {length}: make the holes smaller, or fill them one by one"
        )
    tokens, holes = list(pieces.left), []
    for width, behind in zip(widths, [*pieces.between, []], strict=True):
        holes.append(range(len(tokens), len(tokens) + width))
        tokens += [0] * width + behind
    room = length - len(tokens)
    seen = pieces.right[:room]
    tokens += seen
    if len(seen) == len(pieces.right) and pieces.closing:
        tokens += (pieces.closing + [filling] * room)[: length - len(tokens)]
    free = range(len(tokens), length)
    return Placed(tokens + [0] * len(free), tuple(holes), free, len(seen))


def widths_to_try(template: Template, most: int, room: int) -> list[tuple[int, ...]]:
    """At most `most` sets of widths, from every hole's least to its most, in steps of a like ratio, none wider than `room`."""
    tried: dict[tuple[int, ...], None] = {}
    for number in range(most):
        share = (number + 1) / most if most > 1 else 1.0
        widths = tuple(round(hole.min_tokens * (hole.max_tokens / hole.min_tokens) ** share) for hole in template.holes)
        if sum(widths) <= room:
            tried[widths] = None
    least = tuple(hole.min_tokens for hole in template.holes)
    return list(tried) or [least]
