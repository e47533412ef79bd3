"""Example and Task, and the rule that separates held-out examples from training examples."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

# One prompt in this many is held out.
HELD_OUT_ONE_IN = 64
# The search for held-out examples ends after this many draws without a new one.
MAX_FRUITLESS_DRAWS = 50_000


@dataclass(frozen=True)
class Example:
    """A problem with its answer.

    Attributes:
        difficulty: a number; its unit is the task's.
        holes: (first, last) ranges of characters of the answer, in order; no two touch. Where there
            are any, the rest of the answer is given and only the holes are to be filled.
        picture: (first, last) characters of the prompt that stand for an image: one token each,
            which the network reads as an image's soft tokens.
    """

    prompt: str
    answer: str
    difficulty: int
    holes: tuple[tuple[int, int], ...] = ()
    picture: tuple[int, int] | None = field(default=None, kw_only=True)

    @property
    def key(self) -> str:
        """All that is given: the prompt and, where there are holes, the answer outside them."""
        if not self.holes:
            return self.prompt
        return f"{self.prompt}\n" + "\0".join(outside(self.answer, self.holes))


def outside(text: str, holes: Sequence[tuple[int, int]]) -> list[str]:
    """Return the text before, between and behind the holes: one piece more than there are holes."""
    edges = [0, *chain.from_iterable(holes), len(text)]
    return [text[first:last] for first, last in zip(edges[::2], edges[1::2], strict=True)]


class Task(Protocol):
    """A source of examples, with a checker of answers."""

    name: str

    def draw(self, rng: random.Random) -> Example:
        """Return a random example."""
        ...

    def check(self, example: Example, text: str) -> bool:
        """Return True where `text` is a correct answer, the example's own or another."""
        ...


def is_held_out(key: str) -> bool:
    """Return True where an example with this key is held out.

    It depends on a hash of the key alone, so training needs no list of them.
    """
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0


def training_stream(task: Task, seed: int) -> Iterator[Example]:
    """Yield examples without end; none is held out."""
    rng = random.Random(f"train {task.name} {seed}")
    while True:
        example = task.draw(rng)
        if not is_held_out(example.key):
            yield example


def held_out(task: Task, count: int, seed: int = 0) -> list[Example]:
    """Return the first `count` different held-out examples of a seed.

    There are fewer where MAX_FRUITLESS_DRAWS draws find no new one.
    """
    rng = random.Random(f"held out {task.name} {seed}")
    found: dict[str, Example] = {}
    fruitless = 0
    while len(found) < count and fruitless < MAX_FRUITLESS_DRAWS:
        example = task.draw(rng)
        fruitless += 1
        if is_held_out(example.key) and example.key not in found:
            found[example.key] = example
            fruitless = 0
    return list(found.values())
