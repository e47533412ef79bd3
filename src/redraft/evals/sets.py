"""The held-out sets: a task, and the bins of difficulty of its table."""

from __future__ import annotations

from dataclasses import dataclass

from redraft.tasks import Arithmetic, Infill, Rewrite, Sudoku, Task, ToDo, Wiki
from redraft.tasks.sums import Sums
from redraft.tasks.todo_open import OpenToDo


@dataclass(frozen=True)
class HeldOutSet:
    """A task with held-out examples.

    Attributes:
        bins: of difficulty; both ends belong to each.
        unit: the unit of difficulty.
        ruled: rules check an answer by its prompt alone, so that further attempts are fair.
        model: the shipped model that is measured unless another is named.
        known: that model was trained for the task in this form.
    """

    task: Task
    bins: tuple[tuple[int, int], ...]
    unit: str
    ruled: bool = False
    model: str = "small-text"
    known: bool = True


SETS = {
    "sudoku": HeldOutSet(
        Sudoku(), ((28, 38), (39, 48), (49, 54), (55, 58)), "blanks", ruled=True, model="small"
    ),
    "arithmetic": HeldOutSet(
        Arithmetic(), ((2, 2), (3, 3), (4, 4), (5, 5), (6, 6)), "operations", model="small"
    ),
    "infill": HeldOutSet(Infill(), ((1, 1), (2, 2), (3, 3)), "holes (1 a span, 2 a line, 3 two)"),
    "rewrite": HeldOutSet(Rewrite(), ((1, 20),), "kind of change"),
    "edits": HeldOutSet(ToDo(), ((1, 2), (3, 4)), "items"),
    # In phrasings that no training has.
    "open-edits": HeldOutSet(OpenToDo("held-out"), ((1, 2), (3, 4)), "items", known=False),
    "sums": HeldOutSet(
        Sums(phrasing="held-out"),
        ((1, 1), (2, 2), (3, 3), (4, 5)),
        "operations",
        model="small",
        known=False,
    ),
    "wiki": HeldOutSet(Wiki(), ((1, 1), (2, 2), (3, 3)), "facts"),
}
