"""Sudoku 9x9: puzzles with one solution, and the rules.

A grid is a string of 81 digits, row by row, with 0 for a blank.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

from redraft.errors import ConfigError, RequestError
from redraft.tasks.task import Example


def _box(first: int) -> tuple[int, ...]:
    """Return the cells of the box whose first cell this is."""
    rows = (first, first + 9, first + 18)
    return tuple(chain.from_iterable(range(cell, cell + 3) for cell in rows))


# The cells of each row, column and box.
UNITS: tuple[tuple[int, ...], ...] = (
    *(tuple(range(first, first + 9)) for first in range(0, 81, 9)),
    *(tuple(range(first, 81, 9)) for first in range(9)),
    *(_box(first) for first in (0, 3, 6, 27, 30, 33, 54, 57, 60)),
)
MAX_BLANKS = 60


@dataclass
class Sudoku:
    """Puzzles with `min_blanks` to `max_blanks` blanks, drawn evenly.

    The prompt is `sudoku ` and the grid; the answer is the grid of the solution. Difficulty is the
    number of blanks.
    """

    min_blanks: int = 28
    max_blanks: int = 58
    name: str = field(default="sudoku", init=False)

    def __post_init__(self) -> None:
        if not 1 <= self.min_blanks <= self.max_blanks <= MAX_BLANKS:
            raise ConfigError(
                f"min_blanks={self.min_blanks} and max_blanks={self.max_blanks} must lie in "
                f"1 to {MAX_BLANKS}, in this order"
            )

    def draw(self, rng: random.Random) -> Example:
        from redraft.tasks.sudoku_generator import generate

        blanks = rng.randint(self.min_blanks, self.max_blanks)
        puzzle, solution = generate(rng, blanks)
        return Example(f"sudoku {puzzle}", solution, blanks)

    def check(self, example: Example, text: str) -> bool:
        puzzle = parse_grid(example.prompt.removeprefix("sudoku "))
        grid = text.strip()
        return len(grid) == 81 and grid.isdigit() and solves(puzzle, grid)


def parse_grid(text: str) -> str:
    """Return the grid in a text, which has 0 or . for blanks; white space is ignored.

    Raises:
        RequestError: the text does not have 81 cells, or has another character.
    """
    cells = "".join(text.split()).replace(".", "0")
    if len(cells) != 81 or not (cells.isascii() and cells.isdigit()):
        raise RequestError(
            f"a Sudoku has 81 cells of 0 to 9 or '.', this text has {len(cells)}: {text[:90]!r}"
        )
    return cells


def conflicts(grid: str) -> list[int]:
    """Return the cells whose digit occurs twice in a row, column or box."""
    wrong = set()
    for unit in UNITS:
        for cell in unit:
            if grid[cell] != "0" and sum(grid[other] == grid[cell] for other in unit) > 1:
                wrong.add(cell)
    return sorted(wrong)


def places(cells: Iterable[int]) -> str:
    """Return where cells stand, in words: their rows and columns, counted from 1."""
    return ", ".join(f"row {cell // 9 + 1} column {cell % 9 + 1}" for cell in cells)


def solves(puzzle: str, grid: str) -> bool:
    """Return True where `grid` is complete, keeps the clues of `puzzle` and breaks no rule."""
    keeps = all(clue in ("0", cell) for clue, cell in zip(puzzle, grid, strict=True))
    return keeps and "0" not in grid and not conflicts(grid)
