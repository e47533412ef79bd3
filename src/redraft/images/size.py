"""The size to which an image is scaled: as many pixels as its soft tokens stand for."""

from __future__ import annotations

import math

from redraft.config.vision import VisionConfig
from redraft.errors import ImageError


def target_size(height: int, width: int, config: VisionConfig, budget: int) -> tuple[int, int]:
    """Return the height and width, in pixels, to which an image is scaled.

    Both are multiples of the side of a soft token, and the soft tokens are at most `budget`. The
    ratio of the sides is kept but for the rounding; small images are enlarged. An image with a side
    that rounds to nothing becomes one soft token high, or wide. (transformers'
    `get_aspect_ratio_preserving_size`, number for number.)

    Raises:
        ImageError: the image is so long that it would have more patches in a row than the encoder
            has places for.
    """
    side = config.soft_token_pixels
    factor = math.sqrt(budget * side**2 / (height * width))
    rows, columns = (math.floor(factor * edge / side) for edge in (height, width))
    if not rows:
        rows, columns = 1, min(math.floor(width / height), budget)
    elif not columns:
        rows, columns = min(math.floor(height / width), budget), 1
    most = config.position_embedding_size // config.pooling_kernel_size
    if max(rows, columns) > most:
        raise ImageError(
            f"an image of {width} x {height} pixels is too long for this image encoder, which has "
            f"places for {most} soft tokens in a row: cut it, or lower max_soft_tokens"
        )
    return rows * side, columns * side
