"""Rows of a pass that have an adapter: which product adds which low-rank update.

A pass runs the rows of many requests, and each may have an adapter of its own, or none. The network
says here which rows these are while it runs; a weight that has updates asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

# Rows [start, stop) of a pass, and the name of their adapter; None for the base alone.
RowsOfAdapter = tuple[int, int, str | None]


class AdapterRows:
    """The adapter of each row of a pass.

    Args:
        parts: the rows that belong to requests. size: rows of the pass; others are padding.
        device: of the pass.

    Attributes:
        names: of the adapters in the pass.
    """

    def __init__(self, parts: Sequence[RowsOfAdapter], size: int, device: torch.device) -> None:
        self.names = list(dict.fromkeys(name for _, _, name in parts if name is not None))
        numbers = torch.full((size,), -1)
        for start, stop, name in parts:
            if name is not None:
                numbers[start:stop] = self.names.index(name)
        self._numbers, self._device = numbers, device
        self._found: dict[tuple[str, int], Tensor] = {}

    def of(self, name: str, count: int) -> Tensor:
        """Return which of the last `count` rows of the pass have an adapter, int64 [n].

        A layer that computes fewer rows than the pass has computes the last ones.
        """
        if (name, count) not in self._found:
            numbers = self.numbers(count)
            found = (numbers == self.names.index(name)).nonzero()[:, 0]
            self._found[name, count] = found.to(self._device)
        return self._found[name, count]

    def numbers(self, count: int) -> Tensor:
        """Return the place in `names` of the adapter of each of the last `count` rows, -1 for none.

        int64 [count], in the processor's memory.
        """
        return self._numbers[len(self._numbers) - count :]


_running: ContextVar[AdapterRows | None] = ContextVar("adapter_rows", default=None)


def adapter_rows() -> AdapterRows | None:
    """Return the adapters of the pass that runs; None where no row has one."""
    return _running.get()


@contextmanager
def rows_of_adapters(
    parts: Sequence[RowsOfAdapter], size: int, device: torch.device
) -> Iterator[None]:
    """Say which rows have which adapter, for a pass of this thread; see `AdapterRows`."""
    any_adapter = any(name is not None for _, _, name in parts)
    token = _running.set(AdapterRows(parts, size, device) if any_adapter else None)
    try:
        yield
    finally:
        _running.reset(token)
