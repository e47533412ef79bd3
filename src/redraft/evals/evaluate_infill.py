"""Infilling of problems whose holes have an unknown width: exact fills, edit distance, tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from redraft.api import Model
from redraft.editing.options import InfillOptions
from redraft.engine import Method
from redraft.errors import ContextLengthError
from redraft.evals.infill_problems import InfillProblem
from redraft.evals.summary import wilson


@dataclass(frozen=True)
class InfillOutcome:
    """The result of one problem.

    Attributes:
        exact: every hole holds the true text.
        distance: the edit distance to the true text, of all holes together, over the longer text.
        passed: the problem's check passed; None if it has none.
        steps: forward passes of all candidates together.
    """

    group: str
    exact: bool
    distance: float
    passed: bool | None
    steps: int


@dataclass(frozen=True)
class InfillRow:
    """The figures of one group of problems.

    Attributes:
        exact, passed: shares, 0 to 1. low, high: the 95 % interval of `exact`.
    """

    name: str
    count: int
    exact: float
    low: float
    high: float
    mean_distance: float
    passed: float | None
    mean_steps: float


def evaluate_infill(
    model: Model,
    problems: Sequence[InfillProblem],
    method: Method,
    seed: int,
    progress: Callable[[], object],
    options: InfillOptions | None = None,
) -> Iterator[InfillOutcome]:
    """Yield the outcome of each problem, in order.

    A problem that is longer than the context counts as wrong.

    Args:
        seed: problem i is filled with seed + i.
        progress: called after each problem.
        options: of `Model.infill`.
    """
    for number, problem in enumerate(problems):
        seeded: InfillOptions = {**(options or {}), "seed": seed + number}
        try:
            infilled = model.infill(
                problem.template, instruction=problem.instruction, method=method, **seeded
            )
        except ContextLengthError:
            yield InfillOutcome(problem.group, False, 1.0, False if problem.check else None, 0)
        else:
            yield InfillOutcome(
                group=problem.group,
                exact=infilled.fills == problem.truth,
                distance=_distance(problem.truth, infilled.fills),
                passed=problem.check(infilled.text) if problem.check else None,
                steps=sum(candidate.steps for candidate in infilled.candidates),
            )
        progress()


def _distance(truth: Sequence[str], fills: Sequence[str]) -> float:
    """Return the edit distance of all holes together, over the length of the longer text."""
    longer = max(len("".join(truth)), len("".join(fills)), 1)
    return sum(map(edit_distance, truth, fills)) / longer


def summarise_infill(outcomes: Sequence[InfillOutcome]) -> list[InfillRow]:
    """Return the figures of each group, in the order of the groups' names."""
    rows = []
    for name in sorted({outcome.group for outcome in outcomes}):
        group = [outcome for outcome in outcomes if outcome.group == name]
        count, exact = len(group), sum(outcome.exact for outcome in group)
        low, high = wilson(exact, count)
        checked = [outcome.passed for outcome in group if outcome.passed is not None]
        rows.append(
            InfillRow(
                name=name,
                count=count,
                exact=exact / count,
                low=low,
                high=high,
                mean_distance=sum(outcome.distance for outcome in group) / count,
                passed=sum(checked) / len(checked) if checked else None,
                mean_steps=sum(outcome.steps for outcome in group) / count,
            )
        )
    return rows


def edit_distance(one: str, other: str) -> int:
    """Return how many characters to insert, delete or replace to make one text of the other.

    Source: V. Levenshtein, 1966.
    """
    before = list(range(len(other) + 1))
    for row, char in enumerate(one, 1):
        now = [row]
        for column, against in enumerate(other, 1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (char != against)))
        before = now
    return before[-1]
