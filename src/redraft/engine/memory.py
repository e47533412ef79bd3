"""Memory: who may run, by what it will hold beside the weights."""

from __future__ import annotations

from redraft.engine.prefix_cache import PrefixCache
from redraft.errors import MemoryLimitError
from redraft.model.memory import GIB, estimate_memory


class Memory:
    """Counts what runs against a limit. What is kept of prompts gives way to it.

    Args:
        limit: bytes for caches and passes; None for no limit.
    """

    def __init__(self, prefixes: PrefixCache, limit: int | None = None) -> None:
        self.prefixes = prefixes
        self.limit = limit
        self._held: dict[int, tuple[int, int]] = {}  # rows, and tokens of each

    def check(self, rows: int, tokens: int) -> None:
        """Whether rows of so many tokens, prompt and text, could run at all.

        Raises:
            MemoryLimitError: not even alone.
        """
        needed = self._needed([(rows, tokens)])
        if self.limit is not None and needed > self.limit:
            raise MemoryLimitError(
                f"this needs {needed / GIB:.2f} GiB beside the weights ({rows} x {tokens} tokens), and {self.limit / GIB:.2f} may "
                "be used: shorten the prompt or lower max_new_tokens"
            )

    def take(self, key: int, rows: int, tokens: int) -> bool:
        """Let rows run, where there is room for them beside those that do."""
        if self.limit is not None:
            needed = self._needed([*self._held.values(), (rows, tokens)])
            if needed > self.limit:
                return False
            self.prefixes.allow(self.limit - needed)
        self._held[key] = rows, tokens
        return True

    def release(self, key: int) -> None:
        """They run no more."""
        if self._held.pop(key, None) and self.limit is not None:
            self.prefixes.allow(self.limit - self._needed([*self._held.values()]))

    def _needed(self, held: list[tuple[int, int]]) -> int:
        """Caches of all, and a pass over all: more than passes over some of them would take."""
        config, itemsize = self.prefixes.model.config, self.prefixes.model.dtype.itemsize
        kv = sum(estimate_memory(config, itemsize=itemsize, context=tokens, batch=rows).kv_cache for rows, tokens in held)
        rows, longest = sum(rows for rows, _ in held), max((tokens for _, tokens in held), default=0)
        all_at_once = estimate_memory(config, itemsize=itemsize, context=longest, batch=rows)
        return kv + all_at_once.activations + all_at_once.vocabulary
