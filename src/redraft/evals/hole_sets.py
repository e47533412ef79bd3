"""Holes of unknown width filled, the length searched, from both sides and left to right, by the
same score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from redraft.api import Model
from redraft.errors import ContextLengthError
from redraft.evals.problems import Problem
from redraft.evals.summary import wilson

Method = Literal["diffusion", "typewriter"]


@dataclass(frozen=True)
class Answer:
    """What came of a problem. distance: edit distance to the truth, of all holes together, over the
    longer of both.
    steps: of all candidates together."""

    group: str
    exact: bool
    distance: float
    passed: bool | None
    steps: int


@dataclass(frozen=True)
class Group:
    """Figures of the answers of one group: shares in 0 to 1, `low` and `high` the 95 % interval of
    `exact`."""

    name: str
    count: int
    exact: float
    low: float
    high: float
    mean_distance: float
    passed: float | None
    mean_steps: float


def fill_problems(
    model: Model,
    problems: Sequence[Problem],
    method: Method,
    seed: int,
    progress: Callable[[], object],
    **options: Any,
) -> Iterator[Answer]:
    """Answers in order; problem i with seed + i, and options of `infill`. What is longer than the
    context is not right."""
    for number, problem in enumerate(problems):
        asked: dict[str, Any] = {
            "instruction": problem.instruction,
            "method": method,
            "seed": seed + number,
        }
        try:
            filled = model.infill(problem.template, **asked, **options)
        except ContextLengthError:
            yield Answer(problem.group, False, 1.0, False if problem.check else None, 0)
            progress()
            continue
        longer = max(len("".join(problem.truth)), len("".join(filled.fills)), 1)
        apart = sum(
            edit_distance(one, other)
            for one, other in zip(problem.truth, filled.fills, strict=True)
        )
        yield Answer(
            group=problem.group,
            exact=filled.fills == problem.truth,
            distance=apart / longer,
            passed=problem.check(filled.text) if problem.check else None,
            steps=sum(one.steps for one in filled.candidates),
        )
        progress()


def group(answers: Sequence[Answer]) -> list[Group]:
    """Figures by group, in the order of the groups' names."""
    found = []
    for name in sorted({answer.group for answer in answers}):
        mine = [answer for answer in answers if answer.group == name]
        count, exact = len(mine), sum(answer.exact for answer in mine)
        checked = [answer.passed for answer in mine if answer.passed is not None]
        found.append(
            Group(
                name,
                count,
                exact / count,
                *wilson(exact, count),
                mean_distance=sum(answer.distance for answer in mine) / count,
                passed=sum(checked) / len(checked) if checked else None,
                mean_steps=sum(answer.steps for answer in mine) / count,
            )
        )
    return found


def edit_distance(one: str, other: str) -> int:
    """Characters to put in, leave out or exchange to make one text of the other (Levenshtein,
    1966)."""
    before = list(range(len(other) + 1))
    for row, char in enumerate(one, 1):
        now = [row]
        for column, against in enumerate(other, 1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (char != against)))
        before = now
    return before[-1]
