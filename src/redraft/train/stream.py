"""The examples of a run: tasks mixed by share, reproducible from the seed and the number of the
step."""

from __future__ import annotations

import random

from redraft.tasks.task import Example, is_held_out
from redraft.train.recipe import Recipe


def step_examples(recipe: Recipe, rng: random.Random) -> list[Example]:
    """The examples of one update, drawn from `rng`, which is made anew from seed and step: a
    resumed run sees what an unbroken one would have seen. None is held out."""
    shares = [source.share for source in recipe.sources]
    examples: list[Example] = []
    while len(examples) < recipe.batch_size:
        (source,) = rng.choices(recipe.sources, shares)
        example = source.task.draw(rng)
        if not is_held_out(example.key):
            examples.append(example)
    return examples
