"""The examples of an update: tasks mixed by their shares, reproducible from seed and step."""

from __future__ import annotations

import random
from collections.abc import Callable

from redraft.tasks.task import Example, is_held_out
from redraft.train.recipe import Recipe


def step_examples(
    recipe: Recipe, rng: random.Random, fits: Callable[[Example], bool] = lambda example: True
) -> list[Example]:
    """Return the examples of one update; none of them is held out.

    Args:
        fits: another example is drawn in the place of one that does not fit.
        rng: made anew from seed and step, so that a resumed run gets the examples of an unbroken
            one.
    """
    shares = [one.share for one in recipe.tasks]
    examples: list[Example] = []
    while len(examples) < recipe.batch_size:
        (chosen,) = rng.choices(recipe.tasks, shares)
        example = chosen.task.draw(rng)
        if not is_held_out(example.key) and fits(example):
            examples.append(example)
    return examples
