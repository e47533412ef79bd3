"""Ask a model every example of a set, once each, and judge the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redraft.engine import Engine, Model, Request, typewrite
from redraft.engine.model import Method
from redraft.events import Draft, Event, Finished
from redraft.tasks import Example, Task


@dataclass(frozen=True)
class Outcome:
    """One attempt. `steps` are passes that wrote; `first_right` is whether the first draft was right already (None for the
    typewriter, which has no drafts); `settled` whether every canvas stopped before it ran out of steps."""

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
    progress: Callable[[], object] | None = None,
    **options: Any,
) -> list[Outcome]:
    """One attempt at each example, in order; example i is written with seed + i. `progress` is called after each."""
    config = model.generation_config.with_options(options)
    requests = [
        Request.checked(
            model.chat_prompt([{"role": "user", "content": example.prompt}]),
            config.with_options({"seed": seed + number}),
            model.config,
        )
        for number, example in enumerate(examples)
    ]
    if method == "typewriter":
        events = typewrite(model.network, requests, model.tokenizer, max_batch_size=batch_size)
    else:
        engine = Engine(model.network, model.tokenizer, max_batch_size=batch_size)
        for request in requests:
            engine.add(request)
        events = engine.run()
    firsts: dict[int, str] = {}
    outcomes: dict[int, Outcome] = {}
    for event in events:
        _note(event, firsts)
        if isinstance(event, Finished):
            example = examples[event.request]
            outcomes[event.request] = _judge(task, example, event, firsts.get(event.request), config.max_denoising_steps)
            if progress:
                progress()
    return [outcomes[number] for number in range(len(examples))]


def _note(event: Event, firsts: dict[int, str]) -> None:
    if isinstance(event, Draft) and event.canvas == 0 and event.step == 1:
        firsts[event.request] = event.text


def _judge(task: Task, example: Example, finished: Finished, first: str | None, most_steps: int) -> Outcome:
    return Outcome(
        example=example,
        text=finished.text,
        right=task.check(example, finished.text),
        steps=finished.statistics.forwards,
        first_right=None if first is None else task.check(example, first),
        settled=max(finished.statistics.steps_per_canvas) < most_steps,
    )
