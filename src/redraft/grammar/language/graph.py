"""Distances in a graph of states."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Longs = NDArray[np.int64]
UNREACHED = -1


def distances(source: Longs, target: Longs, begin: Longs, count: int) -> Longs:
    """Return the fewest arcs from the states of `begin` to each state, UNREACHED where none lead.

    Args:
        source, target: int64 [T], the states of each arc.
        count: the number of states.

    Returns:
        int64 [count].
    """
    order = np.argsort(source, kind="stable")
    targets = target[order].tolist()
    first = np.searchsorted(source[order], np.arange(count + 1)).tolist()
    found = [UNREACHED] * count
    left = begin.tolist()
    for state in left:
        found[state] = 0
    # A graph of states is long and thin: a plain loop is faster than an array a step.
    for state in left:
        behind = found[state] + 1
        for following in targets[first[state] : first[state + 1]]:
            if found[following] < 0:
                found[following] = behind
                left.append(following)
    return np.array(found, dtype=np.int64)
