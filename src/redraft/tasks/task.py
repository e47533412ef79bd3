"""Example and Task, and the one rule that keeps held-out examples out of training."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

# One prompt in so many is held out.
HELD_OUT_ONE_IN = 64


@dataclass(frozen=True)
class Example:
    """What is asked, what is right, and how hard it is (the task says in what unit).

    `holes` are ranges of characters of the answer, in order, that do not touch: where there are any, the rest of the answer is
    given, and only the holes are to be filled.
    """

    prompt: str
    answer: str
    difficulty: int
    holes: tuple[tuple[int, int], ...] = ()


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
    """Whether a prompt belongs to the held-out examples: a matter of its hash alone, so training never needs a list."""
    digest = hashlib.sha256(prompt.encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0


def training_stream(task: Task, seed: int) -> Iterator[Example]:
    """Examples without end, none of them held out."""
    rng = random.Random(f"train {task.name} {seed}")
    while True:
        example = task.draw(rng)
        if not is_held_out(example.prompt):
            yield example


def held_out(task: Task, count: int, seed: int = 0) -> list[Example]:
    """The first `count` held-out examples of a seed, no prompt twice."""
    rng = random.Random(f"held out {task.name} {seed}")
    found: dict[str, Example] = {}
    while len(found) < count:
        example = task.draw(rng)
        if is_held_out(example.prompt):
            found.setdefault(example.prompt, example)
    return list(found.values())
