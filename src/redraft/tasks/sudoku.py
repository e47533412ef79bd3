"""Sudoku 9x9: puzzles with one solution, and the rules."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from redraft.errors import ConfigError, RequestError
from redraft.tasks.task import Example

UNITS: tuple[tuple[int, ...], ...] = (
    *(tuple(range(9 * row, 9 * row + 9)) for row in range(9)),
    *(tuple(range(column, 81, 9)) for column in range(9)),
    *(
        tuple(27 * band + 3 * stack + 9 * r + c for r in range(3) for c in range(3))
        for band in range(3)
        for stack in range(3)
    ),
)


@dataclass
class Sudoku:
    """Puzzles of `least` to `most` blanks, drawn evenly; difficulty is the number of blanks.

    The prompt is `sudoku ` and 81 digits row by row, 0 for a blank; the answer is the 81 digits of
    the solution.
    """

    least: int = 28
    most: int = 58
    name: str = field(default="sudoku", init=False)

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most <= 60:
            raise ConfigError(
                f"blanks from {self.least} to {self.most}: both must lie in 1 to 60, in this order"
            )

    def draw(self, rng: random.Random) -> Example:
        from redraft.tasks.sudoku_generator import generate

        blanks = rng.randint(self.least, self.most)
        puzzle, solution = generate(rng, blanks)
        return Example(f"sudoku {puzzle}", solution, blanks)

    def check(self, example: Example, text: str) -> bool:
        puzzle = parse_grid(example.prompt.removeprefix("sudoku "))
        grid = text.strip()
        return len(grid) == 81 and grid.isdigit() and solves(puzzle, grid)


def parse_grid(text: str) -> str:
    """81 digits, 0 for a blank, from a grid written with 0 or . for blanks; white space is passed
    over.

    Raises:
        RequestError: anything but 81 cells, or another sign.
    """
    cells = "".join(text.split()).replace(".", "0")
    if len(cells) != 81 or not (cells.isascii() and cells.isdigit()):
        raise RequestError(
            f"a Sudoku has 81 cells of 0 to 9 or '.', this text has {len(cells)}: {text[:90]!r}"
        )
    return cells


def conflicts(grid: str) -> list[int]:
    """Cells whose digit stands twice in a row, column or box; `grid` has 0 for blanks."""
    wrong = set()
    for unit in UNITS:
        for cell in unit:
            if grid[cell] != "0" and sum(grid[other] == grid[cell] for other in unit) > 1:
                wrong.add(cell)
    return sorted(wrong)


def solves(puzzle: str, grid: str) -> bool:
    """Whether `grid` is complete, keeps the clues of `puzzle`, and breaks no rule."""
    keeps = all(clue in ("0", cell) for clue, cell in zip(puzzle, grid, strict=True))
    return keeps and "0" not in grid and not conflicts(grid)
