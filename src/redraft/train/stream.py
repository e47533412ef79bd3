"""The examples of a run: tasks mixed by share, reproducible from the seed and the number of the step."""

from __future__ import annotations

import random

from redraft.tasks.task import Example, is_held_out
from redraft.train.recipe import Recipe


def step_examples(recipe: Recipe, step: int) -> list[Example]:
    """The examples of one update; none is held out. They depend on the recipe and the step alone, so a resumed run sees
    what an unbroken one would have seen."""
    rng = random.Random(f"{recipe.seed} {step}")
    shares = [source.share for source in recipe.sources]
    examples: list[Example] = []
    while len(examples) < recipe.batch_size:
        (source,) = rng.choices(recipe.sources, shares)
        example = source.task.draw(rng)
        if not is_held_out(example.key):
            examples.append(example)
    return examples
