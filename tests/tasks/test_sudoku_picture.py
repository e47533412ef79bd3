"""Pictures of Sudokus: what is drawn is the grid, in its place, and a seed draws one picture."""

from __future__ import annotations

import random
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from redraft.tasks.sudoku_picture import Hardness, draw

FONTS = [Path(matplotlib.get_data_path()) / "fonts/ttf" / name for name in (
    "DejaVuSans.ttf", "DejaVuSerif-Bold.ttf"
)]  # fmt: skip
CLEAN = Hardness(turn=0, bend=0, margin=0, blur=0, noise=0)


def spreads(picture: Image.Image) -> np.ndarray:
    """Return how much the middle of each cell varies, [81]."""
    pixels = np.asarray(picture.convert("L").resize((324, 324)), dtype=np.float32)
    cells = pixels.reshape(9, 36, 9, 36).transpose(0, 2, 1, 3)
    found: np.ndarray = cells[:, :, 7:-7, 7:-7].reshape(81, -1).std(axis=1)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_digits_are_where_the_grid_has_them(seed: int) -> None:
    rng = random.Random(seed)
    grid = "".join(rng.choice("0123456789") for _ in range(81))
    found = spreads(draw(grid, rng, FONTS, CLEAN))
    filled = np.array([digit != "0" for digit in grid])
    assert found[filled].min() > 2 * np.median(found[~filled])


def test_a_seed_draws_one_picture_and_another_seed_another() -> None:
    grid = "530070000" * 9
    first, again, other = (np.asarray(draw(grid, random.Random(seed), FONTS)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
