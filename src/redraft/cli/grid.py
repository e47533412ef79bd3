"""A Sudoku on the terminal."""

from __future__ import annotations

from collections.abc import Collection

from rich.text import Text

from redraft.tasks.sudoku import conflicts


def cells_of(text: str) -> str:
    """Return 81 cells of a text; other signs than digits count as blanks."""
    cells = "".join(cell if cell in "123456789" else "0" for cell in text)
    return (cells + "0" * 81)[:81]


def grid_text(puzzle: str, cells: str, changed: Collection[int] = ()) -> Text:
    """Return nine rows: clues bold, other cells green, conflicts and blanks red, cells of `changed`
    on yellow."""
    wrong = set(conflicts(cells))
    text = Text()
    for cell, digit in enumerate(cells):
        clue = puzzle[cell] != "0"
        style = "bold red" if cell in wrong or digit == "0" else "bold" if clue else "green"
        text.append(digit.replace("0", "."), "black on yellow" if cell in changed else style)
        column = cell % 9
        text.append("\n" if column == 8 else " | " if column % 3 == 2 else " ")
        if cell in (26, 53):
            text.append("------+-------+------\n", "dim")
    return text
