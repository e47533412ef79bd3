"""Groups of rows with equal strategies, so that each strategy runs once for all of its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class StrategyGroup(Generic[T]):
    """A strategy and the rows that it serves.

    rows: their numbers. index: the same as an index of a tensor [B, ...], on its device.
    """

    strategy: T
    rows: Sequence[int]
    index: Tensor | slice


def grouped(
    strategies: Sequence[T | None],
    default: Callable[[Tensor | slice], T],
    device: torch.device | str,
) -> tuple[StrategyGroup[T], ...]:
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
        index = slice(None) if len(members) == 1 else torch.tensor(rows, device=device)
        groups.append(StrategyGroup(default(index) if strategy is None else strategy, rows, index))
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
