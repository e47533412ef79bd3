"""Sudokus in pictures: write what stands in the cells, or solve it.

The examples have the digits in the place of the picture's soft tokens: an image encoder that makes
of each cell the embedding of its digit says the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from redraft.config.check import check_number
from redraft.tasks.sudoku import Sudoku
from redraft.tasks.task import Example

READ = ("read {}", "read {}", "read{}", "{}", "{}read", "{} read")
SOLVE = ("sudoku {}", "sudoku {}", "sudoku{}", "{}sudoku", "{} sudoku")


@dataclass
class SudokuReading:
    """A grid in a picture, and its cells; or the solution, in a share `solved` of the examples.

    Attributes:
        solved: share of the examples that ask for the solution.
        min_blanks, max_blanks: of the puzzles.
    """

    solved: float = 0.4
    min_blanks: int = 28
    max_blanks: int = 58
    name: str = field(default="sudoku-reading", init=False)

    def __post_init__(self) -> None:
        check_number("solved", self.solved, minimum=0, maximum=1)
        self._puzzles = Sudoku(self.min_blanks, self.max_blanks)

    def draw(self, rng: random.Random) -> Example:
        if rng.random() < self.solved:
            puzzle = self._puzzles.draw(rng)
            grid = puzzle.prompt.removeprefix("sudoku ")
            return pictured(rng.choice(SOLVE), grid, puzzle.answer)
        grid = any_grid(rng)
        return pictured(rng.choice(READ), grid, grid)

    def check(self, example: Example, text: str) -> bool:
        return text.strip() == example.answer


def any_grid(rng: random.Random, low: float = 0.15, high: float = 0.85) -> str:
    """Return 81 digits, of which a share of `low` to `high` are no blanks (0); they need not keep
    the rules."""
    filled = rng.uniform(low, high)
    return "".join(rng.choice("123456789") if rng.random() < filled else "0" for _ in range(81))


def pictured(form: str, grid: str, answer: str) -> Example:
    """Return an example with a grid in the place of the form's picture."""
    first = form.index("{}")
    picture = (first, first + len(grid))
    return Example(form.format(grid), answer, grid.count("0"), picture=picture)
