"""Session prefix: the KV cache of a text that is edited again and again."""

from __future__ import annotations

from collections.abc import Sequence

from redraft.engine.row import LastState, Part, Readout, Row
from redraft.engine.work import Resources
from redraft.network import Cache


class SessionPrefix:
    """Keeps what is encoded before the holes of a text, from edit to edit.

    Attributes:
        encoded: tokens encoded so far, all edits together.
    """

    def __init__(self) -> None:
        self.encoded = 0
        self._tokens: list[int] = []
        self._cache: Cache | None = None

    def row(self, resources: Resources, tokens: Sequence[int], capacity: int) -> Row:
        """Return a row that encodes `tokens` from the first on that differs from the last edit's.

        The last token is always encoded, for its state.
        """
        same, adapter = 0, resources.adapter
        if self._cache is None or self._cache.capacity < capacity or self._cache.adapter != adapter:
            room = capacity + len(tokens) // 4  # a text that is edited may grow
            self._cache = resources.prefixes.begin((), room, whole=True, adapter=adapter)
        else:
            pairs = enumerate(zip(self._tokens, tokens, strict=False))
            shorter = min(len(self._tokens), len(tokens))
            same = next((at for at, (old, new) in pairs if old != new), shorter)
            same = min(same, len(tokens) - 1)
        self._tokens = list(tokens[:same])  # what the cache holds if encoding is interrupted
        row = Row(resources.prefixes, base=self._cache, resume_at=same)
        row.append(Part(tuple(tokens[same:]), LastState()))
        return row

    def note(self, tokens: Sequence[int]) -> None:
        """Remember that all of these are encoded now."""
        self.encoded += len(tokens) - len(self._tokens)
        self._tokens = list(tokens)


def prefix_row(resources: Resources, tokens: Sequence[int], capacity: int, readout: Readout) -> Row:
    """Return a row that encodes `tokens` (at least one) with room behind them, and reads the last;
    the prefix cache gives what it knows of them."""
    row = resources.row(capacity, tuple(tokens[:-1]))
    row.append(Part(tuple(tokens), readout))
    return row
