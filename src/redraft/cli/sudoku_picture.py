"""A Sudoku in a picture, read by a model that sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from redraft.errors import ImageError
from redraft.tasks.sudoku import conflicts, places

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from redraft.api import Model

PROMPT = "read"
# What is kept around the grid in each reading, as a share of its side.
MARGINS = (0.03, 0.0, 0.06, 0.015, 0.045)


def read_picture(model: Model, path: Path, seed: int = 0) -> str:
    """Return the 81 cells of the grid in a picture, 0 for a blank.

    It is read several times, with more and less margin, and each cell is what most readings say.

    Args:
        model: one that has learnt `read`, such as small-sight.

    Raises:
        ImageError: the file is no image, or what was read is no puzzle; it tells what was read.
    """
    from redraft.images.read import read_image
    from redraft.images.square import squared

    pixels = read_image(path, files=True)
    texts = [reading(model, squared(pixels, kept), seed) for kept in MARGINS]
    if (cells := agreed(texts)) is None:
        raise ImageError(
            f"no Sudoku was read in {path}, but {texts[0][:90]!r}: the picture must show one grid "
            "of 9 x 9 cells, upright and nearly to its edges"
        )
    if wrong := conflicts(cells):
        raise ImageError(
            f"the grid in {path} was read as {cells}, and breaks the rules at {places(wrong)}: "
            "correct these cells and give the 81 cells, or take a sharper picture"
        )
    return cells


def agreed(texts: Sequence[str]) -> str | None:
    """Return what most of the readings of 81 cells say of each cell; None where there are none."""
    grids = [text for text in texts if len(text) == 81 and text.isascii() and text.isdigit()]
    # Of digits that are as frequent, the first that was read.
    cells = [Counter(cell).most_common(1)[0][0] for cell in zip(*grids, strict=True)]
    return "".join(cells) or None


def reading(model: Model, pixels: NDArray[np.uint8], seed: int) -> str:
    """Return what the model writes of a picture [side, side, 3]."""
    parts = [{"type": "image", "image": pixels}, {"type": "text", "text": PROMPT}]
    return model.generate(messages=[{"role": "user", "content": parts}], seed=seed).text.strip()
