"""A picture of something square: cut to it, and padded to a square."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from redraft.images.read import Pixels

# Of 255: what differs from the edge by less belongs to the plain margin.
PLAIN = 24
# A row of pixels has content where this share of it differs.
DENSE = 0.01
# The margin that is usually kept, as a share of the content's longer side.
KEPT = 0.03
# Margins are looked for in a picture whose longer side has so many pixels.
LOOKED_AT = 512


def squared(pixels: Pixels, kept: float = KEPT) -> Pixels:
    """Return pixels [height, width, 3] without their plain margins, padded to a square.

    A margin is what is as the picture's edge is. Padding has the edge's colour.

    Args:
        kept: the margin that is kept, as a share of the content's longer side.
    """
    edge = edge_colour(pixels)
    top, bottom, left, right = content(pixels, edge, kept)
    cut = pixels[top:bottom, left:right]
    side = max(cut.shape[:2])
    padded = np.full((side, side, 3), edge, dtype=np.uint8)
    above, before = ((side - length) // 2 for length in cut.shape[:2])
    padded[above : above + cut.shape[0], before : before + cut.shape[1]] = cut
    return padded


def edge_colour(pixels: Pixels) -> Pixels:
    """Return the median colour of a picture's edge, uint8 [3]."""
    edge = np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    colour: Pixels = np.median(edge, axis=0).astype(np.uint8)
    return colour


def content(pixels: Pixels, edge: Pixels, kept: float = KEPT) -> tuple[int, int, int, int]:
    """Return the rows (first, behind the last) and columns of what differs from the edge's colour,
    with a margin; all of them where nothing does."""
    height, width = pixels.shape[:2]
    step = max(1.0, max(height, width) / LOOKED_AT)
    size = (max(1, round(width / step)), max(1, round(height / step)))
    small = Image.fromarray(pixels).resize(size, Image.Resampling.BOX)
    # A grain of noise is no content, a thin line is.
    calm = np.asarray(small.filter(ImageFilter.BoxBlur(1)), dtype=np.int16)
    differs = np.abs(calm - edge.astype(np.int16)).max(axis=-1) > PLAIN
    rows, columns = (
        np.nonzero(differs.sum(axis=axis) >= max(4, DENSE * differs.shape[axis]))[0]
        for axis in (1, 0)
    )
    if not len(rows) or not len(columns):
        return 0, height, 0, width
    ranges = [
        (found[0] * step, (found[-1] + 1) * step, length)
        for found, length in ((rows, height), (columns, width))
    ]
    margin = kept * max(last - first for first, last, _ in ranges)
    (top, bottom), (left, right) = (
        (max(0, int(first - margin)), min(length, int(np.ceil(last + margin))))
        for first, last, length in ranges
    )
    return top, bottom, left, right
