"""A record as token ids: its sequence, the turns to learn, and the canvases in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from redraft.network import ImageSpan

if TYPE_CHECKING:
    from redraft.engine.images import PlacedImage


@dataclass(frozen=True)
class Turn:
    """A part of a sequence that the model writes.

    Attributes:
        start, stop: its tokens. complete: its end was not cut off.
    """

    start: int
    stop: int
    complete: bool


@dataclass(frozen=True)
class Encoded:
    """A record as tokens: a sequence with turns to learn.

    Attributes:
        cut: tokens that were left out because the sequence was too long.
        images: those of the sequence.
    """

    tokens: list[int]
    turns: tuple[Turn, ...]
    cut: int = 0
    images: tuple[PlacedImage, ...] = ()


@dataclass(frozen=True)
class TrainingCanvas:
    """One example of an update.

    Attributes:
        sequence: clean tokens, up to the end of what is learnt. learnt: those of them that the
            encoder's loss counts.
        start: the canvas stands behind so many tokens of the sequence.
        target, frozen, counted: of each position of the canvas, the right token, whether it is
            given, and whether its loss counts.
        images: those of the sequence, with their soft tokens.
    """

    sequence: list[int]
    learnt: list[bool]
    start: int
    target: list[int]
    frozen: list[bool]
    counted: list[bool]
    images: tuple[ImageSpan, ...] = ()
