"""Ask a model every example of a set, once each, and judge the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from redraft.api import Model
from redraft.diffusion import (
    Sampler,
    SamplerSpec,
    StoppingCriteria,
    StoppingSpec,
    as_sampler,
    as_stopping,
)
from redraft.engine import Method
from redraft.evals import infilling
from redraft.events import Draft, Event, Finished
from redraft.tasks import Example, Task

Progress = Callable[[], object]
# What the temperature of each attempt is multiplied by, over and over: a puzzle that resists one is
# often solved at another.
SPREAD = (1.0, 1.3, 0.8, 1.5)


def at_attempt(number: int, temperature: float) -> dict[str, Any]:
    """The settings of attempt `number`, counted from 0, where the first is made at
    `temperature`."""
    return {"temperature": temperature * SPREAD[number % len(SPREAD)]}


@dataclass(frozen=True)
class Outcome:
    """One attempt. `steps` are passes that wrote; `first_right` is whether the first draft was
    right already (None for the typewriter, which has no drafts); `settled` whether every canvas
    stopped before it ran out of steps."""

    example: Example
    text: str
    right: bool
    steps: int
    first_right: bool | None
    settled: bool


def evaluate(
    model: Model,
    task: Task,
    examples: Sequence[Example],
    *,
    method: Method = "diffusion",
    seed: int = 0,
    batch_size: int = 16,
    progress: Progress | None = None,
    sampler: SamplerSpec | None = None,
    stopping: StoppingSpec | None = None,
    **options: Any,
) -> list[Outcome]:
    """One attempt at each example, in order; example i is written with seed + i. `progress` is
    called after each; sampler and stopping are those of `Model.generate`."""
    if method == "typewriter" and any(example.holes for example in examples):
        return _typed(model, task, examples, seed, batch_size, progress, options)
    seeds = range(seed, seed + len(examples))
    strategies = as_sampler(sampler), as_stopping(stopping)
    return _attempt(model, task, examples, seeds, method, batch_size, progress, options, strategies)


def try_again(
    model: Model,
    task: Task,
    outcomes: Sequence[Outcome],
    attempts: int,
    *,
    seed: int = 0,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Outcomes with up to `attempts` seeds and temperatures: what was not right is tried again, and
    the first right answer is taken. Steps are those of all attempts that were made.

    Only for tasks whose check needs no answer (a Sudoku's rules). Attempt k of example i is written
    with seed + 1000 k + i.
    """
    best = list(outcomes)
    if progress:
        for outcome in best:
            if outcome.right:
                progress()
    for attempt in range(1, attempts):
        left = [number for number, outcome in enumerate(best) if not outcome.right]
        examples, seeds = [best[n].example for n in left], [seed + 1000 * attempt + n for n in left]
        settings = at_attempt(attempt, model.generation_config.temperature)
        found = _attempt(model, task, examples, seeds, "diffusion", batch_size, None, settings)
        for number, again in zip(left, found, strict=True):
            kept = again if again.right else best[number]
            best[number] = replace(
                kept, steps=best[number].steps + again.steps, first_right=best[number].first_right
            )
            if progress and (again.right or attempt == attempts - 1):
                progress()
    return best


def _attempt(
    model: Model,
    task: Task,
    examples: Sequence[Example],
    seeds: Sequence[int],
    method: Method,
    batch_size: int,
    progress: Progress | None,
    options: dict[str, Any],
    strategies: tuple[Sampler | None, StoppingCriteria | None] = (None, None),
) -> list[Outcome]:
    """One attempt at each example, in order, each with its own seed."""
    sampler, stopping = strategies
    requests = [
        replace(
            infilling.request(model, example, seed, options), sampler=sampler, stopping=stopping
        )
        for example, seed in zip(examples, seeds, strict=True)
    ]
    most_steps = model.generation_config.with_options(options).max_denoising_steps
    firsts: dict[int, str] = {}
    outcomes: dict[int, Outcome] = {}
    for event in model.run(requests, method=method, max_batch_size=batch_size):
        _note(event, firsts)
        if isinstance(event, Finished):
            example = examples[event.request]
            outcomes[event.request] = _judge(
                task, example, event, firsts.get(event.request), most_steps
            )
            if progress:
                progress()
    return [outcomes[number] for number in range(len(examples))]


def _typed(
    model: Model,
    task: Task,
    examples: Sequence[Example],
    seed: int,
    batch_size: int,
    progress: Progress | None,
    options: dict[str, Any],
) -> list[Outcome]:
    typed = infilling.type_in(model, examples, seed, options, batch_size)
    if progress:
        for _ in typed:
            progress()
    return [
        Outcome(one.example, one.text, task.check(one.example, one.text), one.steps, None, True)
        for one in typed
    ]


def _note(event: Event, firsts: dict[int, str]) -> None:
    if isinstance(event, Draft) and event.canvas == 0 and event.step == 1:
        firsts[event.request] = event.text


def _judge(
    task: Task, example: Example, finished: Finished, first: str | None, most_steps: int
) -> Outcome:
    return Outcome(
        example=example,
        text=finished.text,
        right=task.check(example, finished.text),
        steps=finished.statistics.forwards,
        first_right=None if first is None else task.check(example, first),
        settled=max(finished.statistics.steps_per_canvas) < most_steps,
    )
