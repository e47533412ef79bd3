"""Groups of rows with equal strategies, so that each strategy runs once for all of its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Group(Generic[T]):
    """A strategy and the rows that it serves: int64 [n], or None for all of the batch."""

    strategy: T
    rows: Tensor | None = None

    @property
    def index(self) -> Tensor | slice:
        """An index of these rows for any tensor [B, ...]."""
        return slice(None) if self.rows is None else self.rows


def grouped(
    strategies: Sequence[T | None],
    default: Callable[[Tensor | slice], T],
    device: torch.device | str,
) -> tuple[Group[T], ...]:
    """Group the rows of a batch by equal strategy.

    Args:
        strategies: one a row; None for the default.
        default: builds the strategy of all default rows from their index.
    """
    members: list[tuple[T | None, list[int]]] = []
    for row, strategy in enumerate(strategies):
        for known, rows in members:
            if equal(known, strategy):
                rows.append(row)
                break
        else:
            members.append((strategy, [row]))
    groups = []
    for strategy, rows in members:
        index = None if len(members) == 1 else torch.tensor(rows, device=device)
        where = slice(None) if index is None else index
        groups.append(Group(default(where) if strategy is None else strategy, index))
    return tuple(groups)


def equal(one: object, other: object) -> bool:
    """Return True for the same object and for objects of one type that compare equal."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    try:
        return bool(one == other)
    except (RuntimeError, ValueError):  # fields that are tensors or arrays compare item by item
        return False
