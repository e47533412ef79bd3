"""Held-out examples by each method: diffusion, diffusion with retries, autoregressive decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from redraft.api import Model
from redraft.engine import Method
from redraft.evals.evaluate import Outcome, Progress, evaluate, retry
from redraft.evals.sets import HeldOutSet
from redraft.tasks import Example


def compare_methods(
    held: HeldOutSet,
    examples: Sequence[Example],
    model: Model,
    alone: Model | None = None,
    *,
    attempts: int = 1,
    seed: int = 0,
    batch_size: int = 16,
    begin: Callable[[str], Progress | None] = lambda name: None,
) -> dict[str, list[Outcome]]:
    """Return the outcomes by name of the method, "diffusion" first.

    Args:
        alone: a model that was trained autoregressively only; it decodes autoregressively too.
        attempts: attempts at an example, if the rules say that the first is wrong; more than one
            adds a column.
        begin: called with each name before it is measured; what it returns is called after each
            example.
    """
    columns: dict[str, list[Outcome]] = {}
    methods: list[tuple[str, Model, Method]] = [
        ("diffusion", model, "diffusion"),
        ("autoregressive", model, "autoregressive"),
    ]
    if alone is not None:
        methods.append(("autoregressive, trained alone", alone, "autoregressive"))
    for name, chosen, method in methods:
        columns[name] = evaluate(
            chosen,
            held.task,
            examples,
            method=method,
            seed=seed,
            batch_size=batch_size,
            progress=begin(name),
        )
        if method == "diffusion" and attempts > 1:
            again = f"up to {attempts} attempts"
            columns[again] = retry(
                model,
                held.task,
                columns[name],
                attempts,
                seed=seed,
                batch_size=batch_size,
                progress=begin(again),
            )
    return columns
