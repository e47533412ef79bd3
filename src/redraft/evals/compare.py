"""The same held-out examples in several ways: by diffusion, with restarts, as a typewriter, by a
model that is nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from redraft.api import Model
from redraft.engine import Method
from redraft.evals.evaluate import Outcome, Progress, evaluate, try_again
from redraft.evals.sets import HeldOut
from redraft.tasks import Example


def compare(
    held: HeldOut,
    examples: Sequence[Example],
    model: Model,
    alone: Model | None = None,
    *,
    attempts: int = 1,
    seed: int = 0,
    batch_size: int = 16,
    begin: Callable[[str], Progress | None] = lambda way: None,
) -> dict[str, list[Outcome]]:
    """Outcomes by way of writing, "diffusion" first.

    Args:
        alone: a model trained left to right only, asked as a typewriter too.
        attempts: seeds tried in all where the rules say no; more than one makes a way of its own.
        begin: called with each way's name before it is measured; what it returns is called after
            each example.
    """
    columns: dict[str, list[Outcome]] = {}
    ways: list[tuple[str, Model, Method]] = [
        ("diffusion", model, "diffusion"),
        ("typewriter", model, "typewriter"),
    ]
    if alone is not None:
        ways.append(("typewriter trained alone", alone, "typewriter"))
    for way, asked, method in ways:
        columns[way] = evaluate(
            asked,
            held.task,
            examples,
            method=method,
            seed=seed,
            batch_size=batch_size,
            progress=begin(way),
        )
        if way == "diffusion" and attempts > 1:
            again = f"up to {attempts} attempts"
            columns[again] = try_again(
                model,
                held.task,
                columns[way],
                attempts,
                seed=seed,
                batch_size=batch_size,
                progress=begin(again),
            )
    return columns
