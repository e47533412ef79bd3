"""Turns: which canvases take the next denoising step, where one request's would hold others up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from redraft.engine.row import Row


class Turns:
    """Gives the groups of work equal parts of a step, and a group's canvases their turn.

    A step takes as long as its canvases have positions, on a CPU at least. A group alone may use
    `positions` of them, a group beside others half of that, and each group at least one canvas.
    The canvas whose last step is longest ago goes first.

    Args:
        positions: positions of one group's canvases in a step at most; None for no limit.
    """

    def __init__(self, positions: int | None) -> None:
        self.positions = positions

    def choose(self, canvases: Sequence[tuple[Row, int]], now: int) -> list[Row]:
        """Return the rows that take step `now`, in the order in which they came.

        Args:
            canvases: rows that are ready for a denoising step, each with the number of its group.
        """
        if self.positions is None:
            return [row for row, _ in canvases]
        groups: dict[int, list[Row]] = defaultdict(list)
        for row, group in canvases:
            groups[group].append(row)
        share = self.positions if len(groups) == 1 else self.positions // 2
        chosen: set[int] = set()
        for rows in groups.values():
            chosen.update(id(row) for row in _first(rows, share))
        found = [row for row, _ in canvases if id(row) in chosen]
        for row in found:
            row.denoised_at = now
        return found


def _first(rows: Sequence[Row], positions: int) -> list[Row]:
    """Return the rows whose turn it is, of at most so many positions; at least one."""
    taken: list[Row] = []
    for row in sorted(rows, key=lambda row: row.denoised_at):
        assert row.canvas is not None
        positions -= row.canvas.length
        if taken and positions < 0:
            break
        taken.append(row)
    return taken
