"""The memory of decoded images: requests that wait hold the pixels of theirs."""

from __future__ import annotations

import threading
import weakref

from redraft.images import PreparedImage
from redraft.server.runtime.worker import BusyError

# Bytes of pixels of all requests: some 250 images of 280 soft tokens of the released model.
MAX_PIXEL_BYTES = 512 << 20
RETRY_SECONDS = 2


class PixelBudget:
    """Counts the pixels of images from their decoding until nothing holds them any more.

    Args:
        limit: bytes of all images together.

    Attributes:
        held: bytes now.
    """

    def __init__(self, limit: int = MAX_PIXEL_BYTES) -> None:
        self.limit = limit
        self.held = 0
        self._lock = threading.RLock()  # an image may be collected while another is counted

    def take(self, image: PreparedImage) -> None:
        """Count an image.

        Raises:
            BusyError: there is no room for it now.
        """
        with self._lock:
            if self.held + image.pixels.nbytes > self.limit:
                raise BusyError(
                    "too many images wait for their turn: try again later", RETRY_SECONDS
                )
            self.held += image.pixels.nbytes
        weakref.finalize(image, self._release, image.pixels.nbytes)

    def _release(self, count: int) -> None:
        with self._lock:
            self.held -= count
