"""A Sudoku in a picture, read by a model that sees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from redraft.cli.default_model import SEEING
from redraft.errors import ImageError
from redraft.tasks.sudoku import conflicts

if TYPE_CHECKING:
    from redraft.api import Model

READER = SEEING
PROMPT = "read"


def read_picture(model: Model, path: Path, seed: int = 0) -> str:
    """Return the 81 cells of the grid in a picture, 0 for a blank.

    Args:
        model: one that has learnt `read`, such as small-sight.

    Raises:
        ImageError: the file is no image, or what was read is no puzzle; it tells what was read.
    """
    from redraft.images.square import read_squared

    parts = [{"type": "image", "image": read_squared(path)}, {"type": "text", "text": PROMPT}]
    result = model.generate(messages=[{"role": "user", "content": parts}], seed=seed)
    cells = result.text.strip()
    if len(cells) != 81 or not (cells.isascii() and cells.isdigit()):
        raise ImageError(
            f"no Sudoku was read in {path}, but {cells[:90]!r}: the picture must show one grid of "
            "9 x 9 cells, upright and nearly to its edges"
        )
    if wrong := conflicts(cells):
        told = ", ".join(f"row {cell // 9 + 1} column {cell % 9 + 1}" for cell in wrong)
        raise ImageError(
            f"the grid in {path} was read as {cells}, and breaks the rules at {told}: correct "
            "these cells and give the 81 cells, or take a sharper picture"
        )
    return cells
