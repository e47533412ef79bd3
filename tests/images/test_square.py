"""Pictures of something square: cut to it, whatever is around, and padded."""

from __future__ import annotations

import numpy as np
import pytest

from redraft.images.square import KEPT, squared
from tests.cases import cases


def framed(rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Return a plain picture with a noisy rectangle in it, and the rectangle's edges."""
    height, width = rng.integers(60, 900, 2)
    plain = rng.integers(0, 256, 3)
    picture = np.full((height, width, 3), plain, dtype=np.uint8)
    top, bottom = sorted(rng.choice(np.arange(1, height), 2, replace=False))
    left, right = sorted(rng.choice(np.arange(1, width), 2, replace=False))
    bottom, right = min(height - 1, max(bottom, top + 20)), min(width - 1, max(right, left + 20))
    top, left = max(1, min(top, bottom - 20)), max(1, min(left, right - 20))
    far = np.where(plain > 127, plain - 120, plain + 120).astype(np.uint8)
    picture[top:bottom, left:right] = far
    return picture, (top, bottom, left, right)


@pytest.mark.parametrize("seed", cases(16, 6))
def test_a_plain_margin_is_cut_and_the_rest_is_padded(seed: int) -> None:
    picture, (top, bottom, left, right) = framed(np.random.default_rng(seed))
    found = squared(picture)
    side = found.shape[0]
    assert found.shape == (side, side, 3)
    longer, step = max(bottom - top, right - left), max(1.0, max(picture.shape) / 512)
    assert longer - 2 * step <= side <= longer * (1 + 2 * KEPT) + 4 * step + 2
    # Nothing of the content is lost but what a pixel of the small picture hides.
    area = (found != picture[0, 0]).any(axis=-1).sum()
    assert area >= (bottom - top - 4 * step) * (right - left - 4 * step)


def test_a_picture_without_content_stays() -> None:
    assert squared(np.full((30, 50, 3), 200, dtype=np.uint8)).shape == (50, 50, 3)


def test_noise_and_uneven_light_are_no_content() -> None:
    rng = np.random.default_rng(1)
    paper = np.linspace(235, 215, 400)[:, None, None] + rng.normal(0, 6, (400, 300, 3))
    picture = paper.clip(0, 255).astype(np.uint8)
    picture[100:300, 50:250] = 20
    assert 200 <= squared(picture).shape[0] <= 216
