"""Minimise a DFA by partition refinement.

States are divided first by their distance to a final state, then by the blocks that their
transitions lead to, until nothing changes (Moore 1956). After the first round only states whose
next states changed their block are looked at again. A round is a few operations on arrays. The DFA
may be partial; a missing transition leads to the dead state.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from redraft.grammar.budget import spend
from redraft.grammar.language.graph import distances

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Bools = NDArray[np.bool_]
DEAD = -1  # in a transition table: no next state
MIX = np.int64(0x5851F42D4C957F2D)  # an odd number without a pattern
# Two different rows have one hash once in 2^64 pairs; then other factors are drawn.
MAX_TRIES = 8
# So many rows are grouped faster by a dictionary than by arrays.
FEW = 50


class _Incoming:
    """The states that lead to each state."""

    def __init__(self, table: Ints) -> None:
        source, column = np.nonzero(table != DEAD)
        target = table[source, column]
        order = np.argsort(target, kind="stable")
        self._source = source[order]
        self._first = np.searchsorted(target[order], np.arange(len(table) + 1))

    def of(self, states: Longs) -> Longs:
        """Return the states that lead to some states, each once."""
        if len(states) <= FEW:
            found: set[int] = set()
            for state in states.tolist():
                begin, end = self._first[state : state + 2].tolist()
                found.update(self._source[begin:end].tolist())
            return np.array(sorted(found), dtype=np.int64)
        first, sizes = self._first[states], self._first[states + 1] - self._first[states]
        # Positions first[0], first[0] + 1, ..., then those of the next state.
        begins = np.repeat(first - np.cumsum(sizes) + sizes, sizes)
        return np.unique(self._source[begins + np.arange(len(begins))])


def minimise(table: Ints, final: Bools) -> tuple[Ints, Bools]:
    """Return the transition table and the final states of the minimal DFA.

    State 0 is the start of both. All states must be reachable from it.
    """
    source, column = np.nonzero(table != DEAD)
    distance = distances(
        table[source, column].astype(np.int64), source, np.flatnonzero(final), len(table)
    )
    if distance[0] < 0:
        return np.full((1, table.shape[1]), DEAD, dtype=np.int32), np.zeros(1, dtype=bool)
    live = distance >= 0
    if not live.all():
        number = np.where(live, np.cumsum(live) - 1, DEAD)
        table = np.append(number, DEAD)[table[live]].astype(np.int32)
        final, distance = final[live], distance[live]
    incoming = _Incoming(table)
    for seed in range(MAX_TRIES):
        block = _refined(table, incoming, distance, seed)
        _, chosen = np.unique(block, return_index=True)
        reached = np.append(block, DEAD)[table]
        # Two states of one block must lead to the same blocks: the signatures were only hashes.
        alike = (reached[chosen][block] == reached).all()
        if alike and (final[chosen][block] == final).all():
            break
    return breadth_first(reached[chosen].astype(np.int32), final[chosen], int(block[0]))


def _refined(table: Ints, incoming: _Incoming, distance: Longs, seed: int) -> Longs:
    """Return the block of each state: states of one block are equivalent."""
    _, first, sizes = np.unique(distance, return_inverse=True, return_counts=True)
    size: list[int] = sizes.tolist()  # of each block
    block = np.append(first, DEAD)  # the last element is the block behind a missing transition
    rng = np.random.default_rng(seed)
    factors = rng.integers(1, 1 << 62, table.shape[1] + 1, dtype=np.int64)
    again = np.arange(len(table))  # the states that are looked at
    while len(again):
        spend(len(again))
        rows = np.column_stack([block[table[again]], block[again]])
        group, owners, counts = _grouped(rows, factors)
        numbers = _split(size, owners, counts)
        fresh = np.array(numbers, dtype=np.int64)[group]
        changed = again[fresh != rows[:, -1]]
        block[again] = fresh
        again = incoming.of(changed)
    _, found = np.unique(block[:-1], return_inverse=True)
    return found


def _grouped(rows: Longs, factors: Longs) -> tuple[Longs, list[int], list[int]]:
    """Group equal rows: blocks that a state leads to, and its own.

    Returns:
        The group of each row, and of each group the own block and the number of rows.
    """
    if len(rows) <= FEW:
        numbers: dict[tuple[int, ...], int] = {}
        listed = list(map(tuple, rows.tolist()))
        groups = [numbers.setdefault(row, len(numbers)) for row in listed]
        counts = [0] * len(numbers)
        for number in groups:
            counts[number] += 1
        return np.array(groups), [row[-1] for row in numbers], counts
    # A sum modulo 2^64 stands for a row.
    mixed = rows + 2
    with np.errstate(over="ignore"):
        hashes = ((mixed * MIX) ^ (mixed >> 7)) @ factors
    _, first, group, sizes = np.unique(
        hashes, return_index=True, return_inverse=True, return_counts=True
    )
    return group, rows[first, -1].tolist(), sizes.tolist()


def _split(size: list[int], owners: list[int], counts: list[int]) -> list[int]:
    """Return the block of each group of states; all but one of a block's parts become new blocks.

    Args:
        size: the size of each block, which is brought up to date.
        owners, counts: the block that each group was in, and its number of states.
    """
    total: dict[int, int] = {}
    largest: dict[int, int] = {}
    for at, (owner, count) in enumerate(zip(owners, counts, strict=True)):
        total[owner] = total.get(owner, 0) + count
        if owner not in largest or counts[largest[owner]] < count:
            largest[owner] = at
    found = []
    whole = {owner for owner, count in total.items() if size[owner] == count}
    for at, (owner, count) in enumerate(zip(owners, counts, strict=True)):
        # States that were not looked at keep the number; without any, the largest group does.
        if owner in whole and largest[owner] == at:
            found.append(owner)
            continue
        found.append(len(size))
        size.append(count)
        size[owner] -= count
    return found


def breadth_first(table: Ints, final: Bools, start: int) -> tuple[Ints, Bools]:
    """Return a DFA with its states numbered breadth first from its start."""
    rows = table.tolist()
    number = {start: 0}
    order = [start]
    for state in order:
        for following in rows[state]:
            if following != DEAD and following not in number:
                number[following] = len(order)
                order.append(following)
    renumbered = np.full(len(rows) + 1, DEAD, dtype=np.int32)
    renumbered[order] = np.arange(len(order))
    return renumbered[table[order]], final[order]
