"""Write every example of a set once, and check the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from redraft.api import Model
from redraft.config import GenerationOptions
from redraft.diffusion import SamplerSpec, StoppingSpec, as_sampler, as_stopping
from redraft.engine import Method, Request
from redraft.engine.request import check_without_canvas, checked_method
from redraft.evals.autoregressive_infill import infill_autoregressively
from redraft.evals.example_requests import example_request
from redraft.events import Draft, Finished
from redraft.tasks import Example, Task

Progress = Callable[[], object]
# The temperature of each attempt is multiplied by the next of these, in a cycle: a puzzle that was
# not solved at one temperature is often solved at another.
ATTEMPT_TEMPERATURES = (1.0, 1.3, 0.8, 1.5)
# The seed of attempt k of example i is seed + k * ATTEMPT_SEED_STEP + i.
ATTEMPT_SEED_STEP = 1000


def attempt_options(number: int, temperature: float) -> GenerationOptions:
    """Return the settings of attempt `number`, from 0, if the first is made at `temperature`."""
    return {"temperature": temperature * ATTEMPT_TEMPERATURES[number % len(ATTEMPT_TEMPERATURES)]}


@dataclass(frozen=True)
class Outcome:
    """The result of one attempt.

    Attributes:
        steps: forward passes that wrote text.
        first_right: the first draft was right already; None without drafts (autoregressive).
        settled: every canvas stopped before it ran out of steps.
    """

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
    options: GenerationOptions | None = None,
) -> list[Outcome]:
    """Return the outcome of one attempt at each example, in order.

    Args:
        seed: example i is written with seed + i.
        progress: called after each example.
        sampler, stopping, options: as in `Model.generate`.
    """
    options = options or {}
    if checked_method(method) == "autoregressive" and any(example.holes for example in examples):
        check_without_canvas(sampler, stopping)
        return _infill_autoregressively(model, task, examples, seed, batch_size, progress, options)
    requests = []
    for number, example in enumerate(examples):
        request = example_request(model, example, seed + number, options)
        chosen = as_sampler(sampler, request.config)
        criterion = as_stopping(stopping, request.config)
        requests.append(replace(request, sampler=chosen, stopping=criterion).by(method))
    return _outcomes(model, task, examples, requests, batch_size, progress)


def retry(
    model: Model,
    task: Task,
    outcomes: Sequence[Outcome],
    attempts: int,
    *,
    seed: int = 0,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Try wrong answers again, at other seeds and temperatures; the first right answer is taken.

    Only for tasks that check an answer without knowing the right one (a Sudoku's rules).

    Args:
        outcomes: of the first attempt.
        attempts: in all, at most.

    Returns:
        Outcomes whose steps are those of all attempts that were made.
    """
    best = list(outcomes)
    if progress:
        for outcome in best:
            if outcome.right:
                progress()
    for attempt in range(1, attempts):
        wrong = [number for number, outcome in enumerate(best) if not outcome.right]
        options = attempt_options(attempt, model.generation_config.temperature)
        first_seed = seed + ATTEMPT_SEED_STEP * attempt
        examples = [best[number].example for number in wrong]
        requests = [
            example_request(model, best[number].example, first_seed + number, options)
            for number in wrong
        ]
        found = _outcomes(model, task, examples, requests, batch_size, None)
        for number, again in zip(wrong, found, strict=True):
            before = best[number]
            best[number] = replace(
                again if again.right else before,
                steps=before.steps + again.steps,
                first_right=before.first_right,
            )
            if progress and (again.right or attempt == attempts - 1):
                progress()
    return best


def _outcomes(
    model: Model,
    task: Task,
    examples: Sequence[Example],
    requests: Sequence[Request],
    batch_size: int,
    progress: Progress | None,
) -> list[Outcome]:
    """Return the outcome of each example's request, in order."""
    first_drafts: dict[int, str] = {}
    outcomes: dict[int, Outcome] = {}
    for event in model.run(requests, max_batch_size=batch_size):
        number = event.request
        if isinstance(event, Draft) and event.canvas == 0 and event.step == 1:
            first_drafts[number] = event.text
        elif isinstance(event, Finished):
            limit = requests[number].config.max_denoising_steps
            draft = first_drafts.get(number)
            outcomes[number] = _outcome(task, examples[number], event, draft, limit)
            if progress:
                progress()
    return [outcomes[number] for number in range(len(examples))]


def _outcome(
    task: Task, example: Example, finished: Finished, draft: str | None, max_steps: int
) -> Outcome:
    return Outcome(
        example=example,
        text=finished.text,
        right=task.check(example, finished.text),
        steps=finished.statistics.forwards,
        first_right=None if draft is None else task.check(example, draft),
        settled=max(finished.statistics.steps_per_canvas) < max_steps,
    )


def _infill_autoregressively(
    model: Model,
    task: Task,
    examples: Sequence[Example],
    seed: int,
    batch_size: int,
    progress: Progress | None,
    options: GenerationOptions,
) -> list[Outcome]:
    outcomes = []
    for infilled in infill_autoregressively(model, examples, seed, options, batch_size):
        right = task.check(infilled.example, infilled.text)
        outcomes.append(Outcome(infilled.example, infilled.text, right, infilled.steps, None, True))
        if progress:
            progress()
    return outcomes
