"""Compare samplers and stopping criteria on the same held-out examples, from the same seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import stdev

from redraft.api import Model
from redraft.evals.evaluate import Outcome, Progress, evaluate
from redraft.evals.sets import HeldOutSet
from redraft.evals.summary import student_t, wilson
from redraft.tasks import Example


@dataclass(frozen=True)
class StrategyRow:
    """One sampler with one stopping criterion.

    Attributes:
        sampler, stopping: as on the command line; None for the default.
        right: the share of right answers; right_low, right_high: its 95 % Wilson interval.
        passes: denoising passes an example, on average; passes_low, passes_high: the 95 % interval
            of the mean, by Student's t; None for a single example.
        unsettled: the share of examples that ran out of steps.
    """

    sampler: str | None
    stopping: str | None
    count: int
    right: float
    right_low: float
    right_high: float
    passes: float
    passes_low: float | None
    passes_high: float | None
    unsettled: float


def compare_strategies(
    held: HeldOutSet,
    examples: Sequence[Example],
    model: Model,
    samplers: Sequence[str | None],
    stopping: Sequence[str | None],
    *,
    seed: int = 0,
    batch_size: int = 16,
    begin: Callable[[str], Progress | None] = lambda name: None,
) -> list[StrategyRow]:
    """Return a row for each sampler with each stopping criterion.

    Args:
        begin: called with each pair's name before it is measured; what it returns is called after
            each example.
    """
    rows = []
    for sampler, criterion in product(samplers, stopping):
        outcomes = evaluate(
            model,
            held.task,
            examples,
            seed=seed,
            batch_size=batch_size,
            progress=begin(" ".join(filter(None, (sampler, criterion)))),
            sampler=sampler,
            stopping=criterion,
        )
        rows.append(summarise_strategy(sampler, criterion, outcomes))
    return rows


def summarise_strategy(
    sampler: str | None, stopping: str | None, outcomes: Sequence[Outcome]
) -> StrategyRow:
    """Return the figures of one sampler with one stopping criterion."""
    count = len(outcomes)
    right = sum(outcome.right for outcome in outcomes)
    passes = [outcome.steps for outcome in outcomes]
    mean = sum(passes) / count
    half = student_t(count - 1) * stdev(passes) / count**0.5 if count > 1 else None
    low, high = wilson(right, count)
    return StrategyRow(
        sampler=sampler,
        stopping=stopping,
        count=count,
        right=right / count,
        right_low=low,
        right_high=high,
        passes=mean,
        passes_low=None if half is None else max(1.0, mean - half),
        passes_high=None if half is None else mean + half,
        unsettled=sum(not outcome.settled for outcome in outcomes) / count,
    )
