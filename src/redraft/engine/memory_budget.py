"""Memory: who may run, by what it will hold beside the weights."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from redraft.engine.prefix_cache import PrefixCache
from redraft.errors import MemoryLimitError
from redraft.network.memory_estimate import GIB, estimate_memory


@dataclass(frozen=True)
class Share:
    """What one request holds at most: rows of a pass, caches of so many tokens each."""

    rows: int
    caches: int
    tokens: int


class Memory:
    """Counts what runs against a limit. What is kept of prompts gives way to it. Whoever was
    refused goes before all that come later, so that small requests cannot keep a large one waiting.

    Args:
        limit: bytes for caches and passes; None for no limit.
    """

    def __init__(self, prefixes: PrefixCache, limit: int | None = None) -> None:
        self.prefixes = prefixes
        self.limit = limit
        self._held: dict[int, Share] = {}
        self._refused: dict[int, None] = {}  # who waits for memory, in the order of their coming

    def check(self, share: Share) -> None:
        """Whether there could be room for it at all.

        Raises:
            MemoryLimitError: not even alone.
        """
        needed = self.needed([share])
        if self.limit is not None and needed > self.limit:
            raise MemoryLimitError(
                f"this needs {needed / GIB:.2f} GiB beside the weights ({share.rows} x {share.tokens} tokens), and "
                f"{self.limit / GIB:.2f} may be used: shorten the prompt or lower max_new_tokens"
            )

    def take(self, key: int, share: Share) -> bool:
        """Let a request run, where there is room for it beside those that do, and nobody was
        refused before it. One that was refused asks again, or is released."""
        if self.limit is not None:
            needed = self.needed([*self._held.values(), share])
            if needed > self.limit or next(iter(self._refused), key) != key:
                self._refused[key] = None
                return False
            self.prefixes.allow(self.limit - needed)
        self._refused.pop(key, None)
        self._held[key] = share
        return True

    def release(self, key: int) -> None:
        """It runs no more, or will not."""
        self._refused.pop(key, None)
        if self._held.pop(key, None) and self.limit is not None:
            self.prefixes.allow(self.limit - self.needed(self._held.values()))

    def needed(self, held: Collection[Share]) -> int:
        """Bytes: caches of all, and a pass over all, which is more than passes over some of them
        would take."""
        model = self.prefixes.model
        config, itemsize = model.config, model.dtype.itemsize
        kv = sum(
            estimate_memory(
                config, itemsize=itemsize, context=share.tokens, batch=share.caches
            ).kv_cache
            for share in held
        )
        rows, longest = (
            sum(share.rows for share in held),
            max((share.tokens for share in held), default=0),
        )
        all_at_once = estimate_memory(
            config, itemsize=itemsize, context=longest, batch=rows, device=model.device
        )
        return kv + all_at_once.activations + all_at_once.vocabulary
