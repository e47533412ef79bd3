"""Prefix: what is encoded before the canvases of a text, kept from edit to edit."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from redraft.engine.prefix_cache import PrefixCache
from redraft.network import PREFILL_CHUNK, Cache, DiffusionGemma


class Prefix:
    """The encoded beginning of a text.

    Args:
        kept: keep it whole, so that another beginning is encoded from the first token on that
            differs.
        shared: what an engine knows of prompts; texts behind the same beginning then share it.

    Attributes:
        encoded: tokens encoded so far, all texts together.
    """

    def __init__(
        self, network: DiffusionGemma, *, kept: bool = False, shared: PrefixCache | None = None
    ) -> None:
        self.network = network
        self.kept = kept
        self.shared = shared
        self.encoded = 0
        self._tokens: list[int] = []
        self._cache: Cache | None = None

    def read(self, tokens: Sequence[int], room: int) -> tuple[Cache, Tensor]:
        """`reading`, all of it."""
        passes = self.reading(tokens, room)
        while True:
            try:
                next(passes)
            except StopIteration as end:
                found: tuple[Cache, Tensor] = end.value
                return found

    def reading(
        self, tokens: Sequence[int], room: int
    ) -> Generator[None, None, tuple[Cache, Tensor]]:
        """Encode `tokens` (at least one) pass by pass; returns a cache that holds them, with `room`
        for more, and the last hidden state [H]. The cache is valid until the next reading."""
        cache, same = self._begin(tokens, room)
        self._tokens, self._cache = (
            list(tokens[:same]),
            cache,
        )  # so it is, should reading be interrupted
        *front, last = torch.tensor(tokens[same:], device=self.network.device).split(PREFILL_CHUNK)
        for part in front:
            with torch.inference_mode():
                self.network.prefill([part], [cache])
            yield
        with torch.inference_mode():
            state = self.network.encode([last], [cache])[0][-1]
        self.encoded += len(tokens) - same
        self._tokens = list(tokens)
        return cache, state

    def _begin(self, tokens: Sequence[int], room: int) -> tuple[Cache, int]:
        """A cache that holds the first of `tokens`, and how many; the last is always encoded, for
        its state."""
        if self._cache is None or not self.kept or self._cache.capacity < len(tokens) + room:
            capacity = (
                len(tokens) + room + (len(tokens) // 4 if self.kept else 0)
            )  # a text that is edited may grow
            if self.shared is None:
                return self.network.new_cache(capacity, whole=self.kept), 0
            cache = self.shared.begin(tokens[:-1], capacity, whole=self.kept)
            return cache, cache.length
        pairs = enumerate(zip(self._tokens, tokens, strict=False))
        same = next(
            (at for at, (old, new) in pairs if old != new), min(len(self._tokens), len(tokens))
        )
        same = min(same, len(tokens) - 1)
        self._cache.cut(same)
        return self._cache, same
