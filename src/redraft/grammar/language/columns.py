"""The distinct columns of a table, in their order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def unique_columns(table: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the distinct columns [k, m] of a table [k, n], sorted, and the number of each column.

    As `np.unique(table, axis=1, return_inverse=True)`, which compares columns as records: numpy
    calls Python for that, and deep in a schema there is no more room for a call.
    """
    order = np.lexsort(table[::-1])
    ordered = table[:, order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)
    number = np.empty(len(order), dtype=np.intp)
    number[order] = np.cumsum(new) - 1
    return ordered[:, new], number
