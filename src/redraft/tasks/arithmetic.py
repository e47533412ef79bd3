"""Arithmetic, answer first: the canvas begins with the result of steps that come after it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from redraft.config.check import check_integer
from redraft.errors import ConfigError
from redraft.tasks.task import Example

OPERATIONS = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}


@dataclass
class Arithmetic:
    """Chains of `least` to `most` operations, worked from left to right, every value in 0 to 99;
    difficulty is their number. `signs` are the operations that may occur.

    The prompt is `calc 17-08*02`, the answer `18;17-08=09;09*02=18`: the result, then the steps.
    All numbers have two digits.
    """

    least: int = 2
    most: int = 6
    signs: str = "+-*"
    name: str = field(default="arithmetic", init=False)

    def __post_init__(self) -> None:
        check_integer("least", self.least, minimum=1)
        check_integer("most", self.most, minimum=1)
        if self.least > self.most:
            raise ConfigError(
                f"operations from {self.least} to {self.most}: both must be at least 1, in this order"
            )
        if not isinstance(self.signs, str) or not self.signs or set(self.signs) - set(OPERATIONS):
            raise ConfigError(f"signs={self.signs!r} must be some of {''.join(OPERATIONS)}")

    def draw(self, rng: random.Random) -> Example:
        count = rng.randint(self.least, self.most)
        value = rng.randint(0, 99)
        chain, steps = f"{value:02}", []
        for _ in range(count):
            sign = rng.choice(self.signs)
            fitting = [
                b
                for b in range(100)
                if 0 <= OPERATIONS[sign](value, b) <= 99 and (sign != "*" or b > 1 or not value)
            ]
            if not fitting:
                sign, fitting = (
                    "-",
                    list(range(value + 1)),
                )  # nothing to multiply by: only 0 and 1 are left
            operand = rng.choice(fitting)
            result = OPERATIONS[sign](value, operand)
            chain += f"{sign}{operand:02}"
            steps.append(f"{value:02}{sign}{operand:02}={result:02}")
            value = result
        return Example(f"calc {chain}", ";".join((f"{value:02}", *steps)), count)

    def check(self, example: Example, text: str) -> bool:
        """The final answer, which stands first, is what counts."""
        return text.split(";")[0].strip() == example.answer.split(";")[0]
