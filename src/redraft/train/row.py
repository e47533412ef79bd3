"""Row: one example as token ids."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One example as token ids.

    canvas: what is right on the canvas, up to and with the end of the turn. given: which of it is
    known and stays.
    answer: the same left to right, without the padding of holes.
    open_end: behind the canvas's tokens nothing is given, as where a text has no closing.
    """

    prefix: list[int]
    canvas: list[int]
    given: list[bool]
    answer: list[int]
    open_end: bool = False

    @property
    def closed(self) -> bool:
        """Whether all that fills the canvas behind the tokens is given."""
        return any(self.given) and not self.open_end
