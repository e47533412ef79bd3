"""Turns: which canvases take the next denoising step, where one request's would hold others up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from redraft.engine.row import CanvasInputs, Row


@dataclass(frozen=True)
class Chosen:
    """The rows that have their turn.

    Attributes:
        together: rows that take their denoising step, in the order in which they came.
        apart: rows whose constraint's inference is longer than a turn, each with the work that it
            may do now, in edges.
    """

    together: list[Row] = field(default_factory=list)
    apart: list[tuple[Row, int]] = field(default_factory=list)


class Turns:
    """Gives the groups of work equal parts of a step, and a group's canvases their turn.

    A step takes as long as its canvases have positions, on a CPU at least, and on top of that as
    long as the inference of their constraints. A group alone may use `positions` and `inference`,
    a group beside others half of that, and each group at least one canvas. A canvas whose inference
    is longer does it in several turns, and takes its step with the last of them. The canvas whose
    last step is longest ago goes first, but for one whose inference has begun.

    Args:
        positions: positions of one group's canvases in a step at most; None for no limit.
        inference: work of one group's constraints in a step at most, in edges of their DFAs (see
            `grammar.reach`); None for no limit.
    """

    def __init__(self, positions: int | None, inference: int | None = None) -> None:
        self.positions = positions
        self.inference = inference

    def choose(self, canvases: Sequence[tuple[Row, int]], now: int) -> Chosen:
        """Return the rows that have their turn in step `now`.

        Args:
            canvases: rows that are ready for a denoising step, each with the number of its group.
        """
        if self.positions is None and self.inference is None:
            return Chosen([row for row, _ in canvases])
        groups: dict[int, list[Row]] = defaultdict(list)
        for row, group in canvases:
            groups[group].append(row)
        parts = 1 if len(groups) == 1 else 2
        taken: set[int] = set()
        apart: list[tuple[Row, int]] = []
        for rows in groups.values():
            chosen = self._of_group(rows, parts)
            taken.update(id(row) for row in chosen.together)
            apart += chosen.apart
        together = [row for row, _ in canvases if id(row) in taken]
        for row in together:
            row.denoised_at = now
        for row, _ in apart:
            row.denoised_at = now
        return Chosen(together, apart)

    def _of_group(self, rows: Sequence[Row], parts: int) -> Chosen:
        """Return the rows of one group that have their turn; at least one."""
        chosen, positions, work = Chosen(), 0, 0
        turn = max(1, (self.inference or 0) // parts)
        for row in sorted(rows, key=_turn):
            canvas = _canvas(row)
            positions += canvas.length
            before, work = work, work + canvas.inference_work
            if self.inference is not None and work > turn:
                if not before:
                    chosen.apart.append((row, turn))
                break
            if chosen.together and self.positions and positions > self.positions // parts:
                break
            chosen.together.append(row)
        return chosen


def _canvas(row: Row) -> CanvasInputs:
    assert row.canvas is not None
    return row.canvas


def _turn(row: Row) -> tuple[bool, int]:
    """Return the key by which rows are in the order of their turns."""
    return not _canvas(row).pace.begun, row.denoised_at
