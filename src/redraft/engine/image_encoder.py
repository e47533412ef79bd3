"""ImageEncoder: the soft tokens of images, computed once and kept by the images' content."""

from __future__ import annotations

import threading
from collections import OrderedDict

import torch
from torch import Tensor

from redraft.engine.broken_weights import describe_non_finite
from redraft.errors import NonFiniteError
from redraft.images import PreparedImage
from redraft.network.memory_estimate import image_pass_bytes
from redraft.network.vision import VisionEncoder

# Bytes of soft tokens that are kept: 160 images of 280 soft tokens of the released model.
CAPACITY = 256 << 20


class ImageEncoder:
    """An image encoder and what it gave for the images that were read last.

    Args:
        encoder: the network. capacity: bytes of soft tokens that are kept at most.

    Attributes:
        held: bytes that are kept. hits: images whose soft tokens were kept. misses: images that
            were encoded.
    """

    def __init__(self, encoder: VisionEncoder, capacity: int = CAPACITY) -> None:
        self.encoder = encoder
        self.capacity = self.allowed = capacity
        self.held = self.hits = self.misses = 0
        self._kept: OrderedDict[bytes, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def features(self, image: PreparedImage) -> Tensor:
        """Return an image's soft tokens [n, H]; they are not to be changed.

        Raises:
            NonFiniteError: they are NaN or infinite; the message names the weights.
        """
        with self._lock:
            if (known := self._kept.get(image.key)) is not None:
                self._kept.move_to_end(image.key)
                self.hits += 1
                return known
            self.misses += 1
            found: Tensor = self.encoder(torch.from_numpy(image.pixels.copy()))
            if not bool(found.isfinite().all()):
                raise NonFiniteError(describe_non_finite(self.encoder))
            self._keep(image.key, found)
            return found

    def allow(self, limit: int) -> None:
        """Hold at most `limit` bytes for now, where that is less than the capacity."""
        with self._lock:
            self.allowed = max(0, min(self.capacity, limit))
            self._shrink(self.allowed)

    def pass_bytes(self, soft_tokens: int) -> int:
        """Return the bytes of a pass over an image of so many soft tokens, and of its result."""
        itemsize = self.encoder.dtype.itemsize
        result = soft_tokens * self.encoder.width * itemsize
        return image_pass_bytes(self.encoder.config, itemsize, soft_tokens) + result

    def _keep(self, key: bytes, found: Tensor) -> None:
        if found.nbytes > self.allowed:
            return
        self._shrink(self.allowed - found.nbytes)
        self._kept[key] = found
        self.held += found.nbytes

    def _shrink(self, limit: int) -> None:
        while self.held > limit:
            self.held -= self._kept.popitem(last=False)[1].nbytes
