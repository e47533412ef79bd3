"""Image budget: how many pixels, and how much time, the images of one request take to decode.

A file of a few kilobytes can hold as many pixels of one colour as are read at most.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from redraft.errors import ImageError

# Pixels of all files together, and seconds of a processor.
MAX_PIXELS_TOGETHER, MAX_SECONDS = 256_000_000, 20.0


class ImageBudget:
    """Counts pixels and seconds against their limits.

    Args:
        pixels: of all images, as they are before they are scaled. seconds: of a processor.
    """

    def __init__(self, pixels: int = MAX_PIXELS_TOGETHER, seconds: float = MAX_SECONDS) -> None:
        self.pixels, self.seconds = pixels, seconds
        self._left, self._spent = pixels, 0.0

    def take(self, count: int) -> None:
        """Count the pixels of an image that is to be decoded.

        Raises:
            ImageError: the images have too many together, or have taken too long.
        """
        self._left -= count
        if self._left < 0:
            raise ImageError(
                f"the images of this request have more than {self.pixels // 1_000_000} million "
                "pixels together: make them smaller, or leave some out"
            )
        if self._spent > self.seconds:
            raise ImageError(
                f"the images of this request take more than {self.seconds:g} seconds to decode: "
                "make them smaller, or leave some out"
            )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of a block against the limit: this thread's, not that of others."""
        began = time.thread_time()
        try:
            yield
        finally:
            self._spent += time.thread_time() - began
