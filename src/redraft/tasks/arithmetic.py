"""Arithmetic with the result first: it stands before the steps that it follows from."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from redraft.config.check import check_integer
from redraft.errors import ConfigError
from redraft.tasks.task import Example

OPERATIONS = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}


@dataclass
class Arithmetic:
    """Chains of operations, worked from left to right, with every value in 0 to 99.

    The prompt is `calc 17-08*02`, the answer `18;17-08=09;09*02=18`: the result, then the steps.
    All numbers have two digits. Difficulty is the number of operations.

    Attributes:
        min_operations, max_operations: the bounds of their number.
        signs: the operations that may occur.
    """

    min_operations: int = 2
    max_operations: int = 6
    signs: str = "+-*"
    name: str = field(default="arithmetic", init=False)

    def __post_init__(self) -> None:
        check_integer("min_operations", self.min_operations, minimum=1)
        check_integer("max_operations", self.max_operations, minimum=self.min_operations)
        if not isinstance(self.signs, str) or not self.signs or set(self.signs) - set(OPERATIONS):
            raise ConfigError(f"signs={self.signs!r} must be some of {''.join(OPERATIONS)}")

    def draw(self, rng: random.Random) -> Example:
        count = rng.randint(self.min_operations, self.max_operations)
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
                # Only 0 and 1 are left to multiply by: subtract instead.
                sign, fitting = "-", list(range(value + 1))
            operand = rng.choice(fitting)
            result = OPERATIONS[sign](value, operand)
            chain += f"{sign}{operand:02}"
            steps.append(f"{value:02}{sign}{operand:02}={result:02}")
            value = result
        return Example(f"calc {chain}", ";".join((f"{value:02}", *steps)), count)

    def check(self, example: Example, text: str) -> bool:
        """Compare the results alone, which stand first."""
        return text.split(";")[0].strip() == example.answer.split(";")[0]
