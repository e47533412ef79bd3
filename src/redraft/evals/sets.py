"""The held-out sets: task, and the bins of difficulty that a table has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redraft.evals.evaluate import Outcome
from redraft.tasks import Arithmetic, Infill, Rewrite, Sudoku, Task, ToDo, Wiki
from redraft.tasks.world import claims, links, page, parses, subject_and_style, world


@dataclass(frozen=True)
class HeldOut:
    """A task, its bins (both ends belong to each), and what difficulty counts. `ruled`: an answer
    can be checked by its prompt alone, so trying again is fair. `model`: the shipped model that
    knows the task."""

    task: Task
    bins: tuple[tuple[int, int], ...]
    unit: str
    ruled: bool = False
    model: str = "small-text"


SETS = {
    "sudoku": HeldOut(
        Sudoku(), ((28, 38), (39, 48), (49, 54), (55, 58)), "blanks", ruled=True, model="small"
    ),
    "arithmetic": HeldOut(
        Arithmetic(), ((2, 2), (3, 3), (4, 4), (5, 5), (6, 6)), "operations", model="small"
    ),
    "infill": HeldOut(Infill(), ((1, 1), (2, 2), (3, 3)), "holes (1 a span, 2 a line, 3 two)"),
    "rewrite": HeldOut(Rewrite(), ((1, 20),), "kind of change"),
    "edits": HeldOut(ToDo(), ((1, 2), (3, 4)), "items"),
    "wiki": HeldOut(Wiki(), ((1, 1), (2, 2), (3, 3)), "facts"),
}


@dataclass(frozen=True)
class Facts:
    """Of the pages of a wiki: how many parse, what they claim and what of it is so, links made and
    resolved."""

    pages: int
    parsed: int
    stated: int
    right: int
    links: int
    resolved: int

    def __str__(self) -> str:
        return (
            f"{self.parsed} of {self.pages} pages parse, {self.right} of {self.stated} facts are right, "
            f"{self.resolved} of {self.links} links resolve"
        )


def facts(outcomes: Sequence[Outcome]) -> Facts:
    """Count what the pages of `outcomes` say; a sentence that says nothing known counts as
    wrong."""
    claimed = [
        (outcome, claim)
        for outcome in outcomes
        for claim in claims(outcome.text)
        if claim[0] != "kind"
    ]
    targets = [link for outcome in outcomes for link in links(outcome.text)]
    return Facts(
        pages=len(outcomes),
        parsed=sum(parses(outcome.text) for outcome in outcomes),
        stated=len(claimed),
        right=sum(
            claim in claims(page(world()[subject_and_style(outcome.example.prompt)[0]], "full"))
            for outcome, claim in claimed
        ),
        links=len(targets),
        resolved=sum(link in world() for link in targets),
    )
