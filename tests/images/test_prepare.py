"""Sizes and pixels as transformers' Pillow processor makes them, bit for bit."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.gemma4.image_processing_pil_gemma4 import (
    Gemma4ImageProcessorPil,
    get_aspect_ratio_preserving_size,
)

from redraft.config.presets import RELEASED_VISION
from redraft.config.vision import BUDGETS
from redraft.errors import ImageError
from redraft.images import prepare
from redraft.images.size import target_size
from redraft.network.vision.encoder import patches_of
from redraft.testing.tiny import tiny_vision_config


def test_sizes_are_those_of_the_reference() -> None:
    rng = random.Random(0)
    for _ in range(20_000):
        height, width = (int(10 ** rng.uniform(0, 4.5)) for _ in "ab")
        budget = rng.choice(BUDGETS)
        wanted = get_aspect_ratio_preserving_size(height, width, 16, 9 * budget, 3)
        assert target_size(height, width, RELEASED_VISION, budget) == wanted, (height, width)
        assert wanted[0] * wanted[1] <= budget * 48**2


@pytest.mark.parametrize(
    ("size", "budget", "target", "tokens"),
    [
        ((640, 480), 280, (912, 672), 266),
        ((1920, 1080), 280, (1056, 576), 264),
        ((1, 1), 280, (768, 768), 256),
        ((20000, 10), 280, (13440, 48), 280),
        ((768, 768), 280, (768, 768), 256),
    ],
)
def test_sizes_that_are_known(
    size: tuple[int, int], budget: int, target: tuple[int, int], tokens: int
) -> None:
    image = prepare(Image.new("RGB", size), RELEASED_VISION, budget)
    assert image.pixels.shape == (target[1], target[0], 3)
    assert image.soft_tokens == tokens


@pytest.mark.parametrize("seed", range(10))
def test_the_patches_are_the_references_bit_for_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(10 ** rng.uniform(1, 3)) for _ in "ab")
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    budget = BUDGETS[seed % 3]
    theirs = Gemma4ImageProcessorPil(max_soft_tokens=budget)(image, return_tensors="pt")
    ours = prepare(image, RELEASED_VISION, budget)
    assert ours.soft_tokens == int(theirs["num_soft_tokens_per_image"][0])
    # The reference centres the values inside its encoder.
    wanted = 2 * (theirs["pixel_values"][0, : 9 * ours.soft_tokens] - 0.5)
    assert torch.equal(patches_of(torch.from_numpy(ours.pixels.copy()), 16, torch.float32), wanted)


def test_the_key_is_that_of_the_content() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    other = first.copy()
    other[20, 30, 1] ^= 128
    config = tiny_vision_config()
    one = prepare(first, config)
    assert one == prepare(Image.fromarray(first), config)
    assert one.key != prepare(other, config).key
    assert one.key != prepare(first, config, 140).key
    assert one.key != prepare(first.transpose(1, 0, 2), config).key
    flat, high = np.zeros((36, 36, 3), np.uint8), np.zeros((24, 54, 3), np.uint8)
    assert prepare(flat, config).key != prepare(high, config).key


@pytest.mark.parametrize("budget", [0, 1, 71, -70, 1121, True, 70.5, "280", None])
def test_there_are_five_budgets(budget: object) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    if budget is None:
        assert prepare(image, RELEASED_VISION).soft_tokens == 256
        return
    with pytest.raises(ImageError, match="70, 140, 280, 560, 1120"):
        prepare(image, RELEASED_VISION, budget)  # type: ignore[arg-type]


def test_a_checkpoint_may_have_a_budget_of_its_own() -> None:
    config = tiny_vision_config(budget=81)
    image = np.zeros((50, 50, 3), np.uint8)
    assert prepare(image, config).soft_tokens == 81
    assert prepare(image, config, 81).soft_tokens == 81
    with pytest.raises(ImageError, match="70, 81, 140"):
        prepare(image, config, 80)


def test_an_image_longer_than_the_table_of_places_is_refused() -> None:
    strip = np.zeros((2, 4000, 3), np.uint8)
    with pytest.raises(ImageError, match="too long"):
        prepare(strip, tiny_vision_config(position_embedding_size=63))
    assert prepare(strip, tiny_vision_config()).soft_tokens == 70
