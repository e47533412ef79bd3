"""Example and Task, and the one rule that keeps held-out examples out of training."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

# One prompt in so many is held out.
HELD_OUT_ONE_IN = 64
# A task with few held-out examples is given up on after so many draws without a new one.
FRUITLESS_DRAWS = 50_000


@dataclass(frozen=True)
class Example:
    """What is asked, what is right, and how hard it is (the task says in what unit).

    `holes` are ranges of characters of the answer, in order, that do not touch: where there are
    any, the rest of the answer is given, and only the holes are to be filled.
    """

    prompt: str
    answer: str
    difficulty: int
    holes: tuple[tuple[int, int], ...] = ()

    @property
    def key(self) -> str:
        """All that is given: the prompt and, where there are holes, the answer without what is in
        them."""
        if not self.holes:
            return self.prompt
        edges = [0, *(edge for hole in self.holes for edge in hole), len(self.answer)]
        return f"{self.prompt}\n" + "\0".join(
            self.answer[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)
        )


class Task(Protocol):
    """A source of examples and their judge."""

    name: str

    def draw(self, rng: random.Random) -> Example:
        """A random example."""
        ...

    def check(self, example: Example, text: str) -> bool:
        """Whether `text` is a right answer, the example's own or another."""
        ...


def is_held_out(prompt: str) -> bool:
    """Whether a prompt belongs to the held-out examples: a matter of its hash alone, so training
    never needs a list."""
    digest = hashlib.sha256(prompt.encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0


def training_stream(task: Task, seed: int) -> Iterator[Example]:
    """Examples without end, none of them held out."""
    rng = random.Random(f"train {task.name} {seed}")
    while True:
        example = task.draw(rng)
        if not is_held_out(example.key):
            yield example


def held_out(task: Task, count: int, seed: int = 0) -> list[Example]:
    """The first `count` held-out examples of a seed, none twice; fewer where no new one is found
    for long."""
    rng = random.Random(f"held out {task.name} {seed}")
    found: dict[str, Example] = {}
    fruitless = 0
    while len(found) < count and fruitless < FRUITLESS_DRAWS:
        example = task.draw(rng)
        fruitless += 1
        if is_held_out(example.key) and example.key not in found:
            found[example.key] = example
            fruitless = 0
    return list(found.values())
