"""Prefix: what is encoded before the canvases of a text, kept from edit to edit."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from redraft.model import Cache, DiffusionGemma


class Prefix:
    """The encoded beginning of a text.

    Args:
        kept: keep it whole, so that another beginning is encoded from the first token on that differs.

    Attributes:
        encoded: tokens encoded so far, all texts together.
    """

    def __init__(self, network: DiffusionGemma, *, kept: bool = False) -> None:
        self.network = network
        self.kept = kept
        self.encoded = 0
        self._tokens: list[int] = []
        self._cache: Cache | None = None

    def read(self, tokens: Sequence[int], room: int) -> tuple[Cache, Tensor]:
        """Encode `tokens` (at least one); returns a cache that holds them, with `room` for more, and the last hidden state [H].
        The cache is valid until the next `read`."""
        cache, same = self._begin(tokens, room)
        self._tokens, self._cache = list(tokens[:same]), cache  # so it is, should reading be interrupted
        state = self.network.read(tokens[same:], cache)
        self.encoded += len(tokens) - same
        self._tokens = list(tokens)
        return cache, state

    def _begin(self, tokens: Sequence[int], room: int) -> tuple[Cache, int]:
        """A cache that holds the first of `tokens`, and how many; the last is always encoded, for its state."""
        if self._cache is None or not self.kept or self._cache.capacity < len(tokens) + room:
            capacity = len(tokens) + room + (len(tokens) // 4 if self.kept else 0)  # a text that is edited may grow
            return self.network.new_cache(capacity, whole=self.kept), 0
        pairs = enumerate(zip(self._tokens, tokens, strict=False))
        same = next((at for at, (old, new) in pairs if old != new), min(len(self._tokens), len(tokens)))
        same = min(same, len(tokens) - 1)
        self._cache.cut(same)
        return self._cache, same
