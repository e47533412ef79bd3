"""The least automaton of a language: Valmari's "Fast brief practical DFA minimization" (Information
Processing Letters 2012), in which blocks of states and blocks of transitions split one another.
Automata may be partial: a missing transition is dead."""

from __future__ import annotations

from collections.abc import Sequence

Rows = Sequence[dict[int, int]]


class _Partition:
    """Blocks of elements 0 to n - 1; marked elements of a block are split off."""

    def __init__(self, elements: list[int], blocks: list[int]) -> None:
        """elements: by block, one behind the other. blocks: how many each has."""
        self.elements = elements
        self.place = [0] * len(elements)
        self.block = [0] * len(elements)
        self.first: list[int] = []
        self.past: list[int] = []
        for number, size in enumerate(blocks):
            start = self.past[-1] if self.past else 0
            self.first.append(start)
            self.past.append(start + size)
            for at in range(start, start + size):
                self.place[elements[at]] = at
                self.block[elements[at]] = number
        self.marked = [0] * len(blocks)
        self.touched: list[int] = []

    def mark(self, element: int) -> None:
        block, here = self.block[element], self.place[element]
        there = self.first[block] + self.marked[block]
        other = self.elements[there]
        self.elements[here], self.place[other] = other, here
        self.elements[there], self.place[element] = element, there
        if not self.marked[block]:
            self.touched.append(block)
        self.marked[block] += 1

    def split(self) -> None:
        """Marked and unmarked elements apart; the smaller part becomes a block of its own."""
        while self.touched:
            block = self.touched.pop()
            cut = self.first[block] + self.marked[block]
            self.marked[block] = 0
            if cut == self.past[block]:
                continue
            if cut - self.first[block] <= self.past[block] - cut:
                span = self.first[block], cut
                self.first[block] = cut
            else:
                span = cut, self.past[block]
                self.past[block] = cut
            self.first.append(span[0])
            self.past.append(span[1])
            self.marked.append(0)
            for at in range(*span):
                self.block[self.elements[at]] = len(self.first) - 1

    def of(self, block: int) -> list[int]:
        return self.elements[self.first[block] : self.past[block]]


def minimise(rows: Rows, final: Sequence[bool]) -> tuple[list[dict[int, int]], list[bool]]:
    """Transitions (class -> state) and ends of the least automaton with the same language; state 0
    is the start of both."""
    live = _live(rows, final)
    if 0 not in live:
        return [{}], [False]
    states = sorted(live, key=lambda state: not final[state])
    number = {state: at for at, state in enumerate(states)}
    arcs = [
        (number[s], kind, number[t]) for s in states for kind, t in rows[s].items() if t in live
    ]
    ends = sum(final[state] for state in states)
    blocks = _Partition(
        list(range(len(states))), [size for size in (ends, len(states) - ends) if size]
    )
    if arcs:
        _refine(blocks, arcs)
    return _merged(blocks, arcs, ends, number[0])


def _live(rows: Rows, final: Sequence[bool]) -> set[int]:
    """States from which an end can be reached; all can be reached from the start."""
    before: list[list[int]] = [[] for _ in rows]
    for state, row in enumerate(rows):
        for target in row.values():
            before[target].append(state)
    left = [state for state, end in enumerate(final) if end]
    found = set(left)
    while left:
        for state in before[left.pop()]:
            if state not in found:
                found.add(state)
                left.append(state)
    return found


def _refine(blocks: _Partition, arcs: list[tuple[int, int, int]]) -> None:
    by_kind = sorted(range(len(arcs)), key=lambda at: arcs[at][1])
    sizes: dict[int, int] = {}
    for at in by_kind:
        sizes[arcs[at][1]] = sizes.get(arcs[at][1], 0) + 1
    cords = _Partition(by_kind, list(sizes.values()))
    into: list[list[int]] = [[] for _ in blocks.elements]
    for at, (_, _, target) in enumerate(arcs):
        into[target].append(at)
    block = 1
    cord = 0
    while cord < len(cords.first):
        for at in cords.of(cord):
            blocks.mark(arcs[at][0])
        blocks.split()
        cord += 1
        while block < len(blocks.first):
            for state in blocks.of(block):
                for at in into[state]:
                    cords.mark(at)
            cords.split()
            block += 1


def _merged(
    blocks: _Partition, arcs: list[tuple[int, int, int]], ends: int, start: int
) -> tuple[list[dict[int, int]], list[bool]]:
    """Blocks as states, the start's first, the others in the order in which they are reached."""
    rows: list[dict[int, int]] = [{} for _ in blocks.first]
    for state, kind, target in arcs:
        rows[blocks.block[state]][kind] = blocks.block[target]
    order = {blocks.block[start]: 0}
    left = [blocks.block[start]]
    for block in left:
        for _, target in sorted(rows[block].items()):
            if target not in order:
                order[target] = len(order)
                left.append(target)
    merged = [
        {kind: order[target] for kind, target in sorted(rows[block].items())} for block in left
    ]
    return merged, [blocks.elements[blocks.first[block]] < ends for block in left]
