"""Files that mean no good: pixels or a typed error, and no more memory than an image may take."""

from __future__ import annotations

import random
import resource

import numpy as np
import pytest

from redraft.errors import ImageError
from redraft.images import prepare
from redraft.testing.tiny import tiny_vision_config
from tests.images.hostile import hostile_files, image_file


@pytest.mark.filterwarnings("ignore")
def test_mutated_files_are_images_or_typed_errors() -> None:
    rng, config = random.Random(5), tiny_vision_config()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts = {"read": 0, "refused": 0}
    for data in hostile_files(rng, 500):
        try:
            image = prepare(data, config, files=False)
        except ImageError:
            counts["refused"] += 1
        else:
            counts["read"] += 1
            assert image.pixels.dtype == np.uint8
            assert image.soft_tokens <= 70
    assert min(counts.values()) > 50, counts
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300 << 10  # KiB


def test_right_files_of_every_kind_are_read() -> None:
    rng, config = random.Random(6), tiny_vision_config()
    for _ in range(60):
        assert prepare(image_file(rng), config, files=False).soft_tokens
