"""Infill: a snippet with one or two holes that the text on both sides determines."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from redraft.tasks.snippets.check import keeps, same_json, same_python
from redraft.tasks.snippets.functions import draw_function
from redraft.tasks.snippets.records import draw_record
from redraft.tasks.task import Example

SPAN, LINE, TWO = 1, 2, 3


@dataclass
class Infill:
    """The task of filling holes.

    The prompt is `fill python` or `fill json`. Difficulty 1 is a span, 2 a whole line with its
    indentation, 3 two holes.
    """

    name: str = field(default="infill", init=False)

    def draw(self, rng: random.Random) -> Example:
        (difficulty,) = rng.choices((SPAN, LINE, TWO), (1, 2, 1))
        language = rng.choices(("python", "json"), (3, 2))[0]
        while True:
            snippet = draw_function(rng) if language == "python" else draw_record(rng)
            holes = (
                snippet.pick(2 if difficulty == TWO else 1, difficulty == LINE, rng)
                if snippet.fits()
                else ()
            )
            if holes:
                return Example(f"fill {language}", snippet.text, difficulty, holes)

    def check(self, example: Example, text: str) -> bool:
        """Return True for the answer, or one that differs in names alone.

        Names are those of variables in Python, of people and cities in JSON.
        """
        same = same_python if example.prompt == "fill python" else same_json
        return keeps(example.answer, example.holes, text) and (
            text == example.answer or same(example.answer, text)
        )
