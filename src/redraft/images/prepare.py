"""Prepare an image: read it, scale it to its budget of soft tokens, and name it by its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from redraft.config.vision import VisionConfig, check_budget
from redraft.errors import ConfigError, ImageError
from redraft.images.budget import ImageBudget
from redraft.images.read import read_image
from redraft.images.size import target_size


@dataclass(frozen=True)
class PreparedImage:
    """An image as an image encoder reads it. Two are equal where their pixels are.

    Attributes:
        pixels: uint8 [height, width, 3], RGB; the sides are multiples of a soft token's side.
        soft_tokens: the number of soft tokens that it becomes.
        key: a digest of pixels and size, under which results for the image can be kept.
    """

    pixels: NDArray[np.uint8] = field(compare=False, repr=False)
    soft_tokens: int
    key: bytes


def prepare(
    source: object,
    config: VisionConfig,
    max_soft_tokens: int | None = None,
    *,
    files: bool = True,
    budget: ImageBudget | None = None,
) -> PreparedImage:
    """Return an image that is ready for the encoder.

    Pillow scales it with its bicubic filter on the eight bits of each colour. That is bit for bit
    what transformers' Pillow processor does.

    Args:
        source: see `read_image`.
        config: the encoder's shape.
        max_soft_tokens: one of `config.budgets`; None for the encoder's usual budget.
        files: a path may be read.
        budget: takes the pixels and the time of files; None sets no limit.

    Raises:
        ImageError: the image cannot be read, or there is no such budget.
    """
    most = config.budget if max_soft_tokens is None else max_soft_tokens
    try:
        check_budget(most, config.budgets)
    except ConfigError as error:
        raise ImageError(str(error)) from None
    pixels = read_image(source, files=files, budget=budget)
    height, width = target_size(pixels.shape[0], pixels.shape[1], config, most)
    if (height, width) != pixels.shape[:2]:
        scaled = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
        pixels = np.array(scaled, dtype=np.uint8)
    return from_pixels(pixels, config)


def from_pixels(pixels: NDArray[np.uint8], config: VisionConfig) -> PreparedImage:
    """Return pixels, whose size is right already, as a prepared image."""
    height, width = pixels.shape[:2]
    pixels = np.ascontiguousarray(pixels)
    pixels.setflags(write=False)
    digest = hashlib.sha256(f"{height} {width} ".encode() + pixels.tobytes()).digest()
    return PreparedImage(pixels, height * width // config.soft_token_pixels**2, digest)
