"""Minimise a DFA by partition refinement.

The algorithm is Valmari's "Fast brief practical DFA minimization" (Information Processing Letters
2012): blocks of states split blocks of transitions, and those split blocks of states. The DFA may
be partial; a missing transition leads to the dead state.
"""

from __future__ import annotations

from collections.abc import Sequence

Rows = Sequence[dict[int, int]]
# State, symbol class, next state.
Arc = tuple[int, int, int]


class _Partition:
    """A refinable partition of the elements 0 to n - 1.

    Attributes:
        elements: all elements, block by block; inside a block the marked ones come first.
        place: the index of each element in `elements`.
        block: the block of each element.
        first, past: where each block begins in `elements`, and where it is over.
        marked: the number of marked elements of each block.
        touched: the blocks that have marked elements.
    """

    def __init__(self, elements: list[int], sizes: list[int]) -> None:
        """Begin with blocks of these sizes; `elements` holds their elements one after another."""
        self.elements = elements
        self.place = [0] * len(elements)
        self.block = [0] * len(elements)
        self.first: list[int] = []
        self.past: list[int] = []
        for number, size in enumerate(sizes):
            start = self.past[-1] if self.past else 0
            self.first.append(start)
            self.past.append(start + size)
            for at in range(start, start + size):
                self.place[elements[at]] = at
                self.block[elements[at]] = number
        self.marked = [0] * len(sizes)
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
        """Split each block into marked and unmarked elements; the smaller part becomes a new
        block."""
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

    def members(self, block: int) -> list[int]:
        return self.elements[self.first[block] : self.past[block]]


def minimise(rows: Rows, final: Sequence[bool]) -> tuple[list[dict[int, int]], list[bool]]:
    """Return the rows (symbol class -> next state) and the final states of the minimal DFA.

    State 0 is the start of both. All states must be reachable from it.
    """
    live = _live(rows, final)
    if 0 not in live:
        return [{}], [False]
    # Final states come first: the two initial blocks are the final states and the others.
    states = sorted(live, key=lambda state: not final[state])
    number = {state: at for at, state in enumerate(states)}
    arcs: list[Arc] = []
    for state in states:
        for symbol_class, target in rows[state].items():
            if target in live:
                arcs.append((number[state], symbol_class, number[target]))
    final_count = sum(final[state] for state in states)
    sizes = [size for size in (final_count, len(states) - final_count) if size]
    blocks = _Partition(list(range(len(states))), sizes)
    if arcs:
        _refine(blocks, arcs)
    return _merged(blocks, arcs, final_count, number[0])


def _live(rows: Rows, final: Sequence[bool]) -> set[int]:
    """Return the states from which a final state can be reached."""
    before: list[list[int]] = [[] for _ in rows]
    for state, row in enumerate(rows):
        for target in row.values():
            before[target].append(state)
    left = [state for state, is_final in enumerate(final) if is_final]
    found = set(left)
    while left:
        for state in before[left.pop()]:
            if state not in found:
                found.add(state)
                left.append(state)
    return found


def _refine(blocks: _Partition, arcs: list[Arc]) -> None:
    """Refine the blocks of states until the states of each block are equivalent.

    A cord, as Valmari calls it, is a block of transitions with one symbol class and one target
    block.
    """
    by_class = sorted(range(len(arcs)), key=lambda at: arcs[at][1])
    sizes: dict[int, int] = {}
    for at in by_class:
        sizes[arcs[at][1]] = sizes.get(arcs[at][1], 0) + 1
    cords = _Partition(by_class, list(sizes.values()))
    into: list[list[int]] = [[] for _ in blocks.elements]
    for at, (_, _, target) in enumerate(arcs):
        into[target].append(at)
    block = 1
    cord = 0
    while cord < len(cords.first):
        for at in cords.members(cord):
            blocks.mark(arcs[at][0])
        blocks.split()
        cord += 1
        while block < len(blocks.first):
            for state in blocks.members(block):
                for at in into[state]:
                    cords.mark(at)
            cords.split()
            block += 1


def _merged(
    blocks: _Partition, arcs: list[Arc], final_count: int, start: int
) -> tuple[list[dict[int, int]], list[bool]]:
    """Return the DFA whose states are the blocks, numbered breadth first from the start's."""
    rows: list[dict[int, int]] = [{} for _ in blocks.first]
    for state, symbol_class, target in arcs:
        rows[blocks.block[state]][symbol_class] = blocks.block[target]
    order = {blocks.block[start]: 0}
    left = [blocks.block[start]]
    for block in left:
        for _, target in sorted(rows[block].items()):
            if target not in order:
                order[target] = len(order)
                left.append(target)
    merged = []
    for block in left:
        row = sorted(rows[block].items())
        merged.append({symbol_class: order[target] for symbol_class, target in row})
    return merged, [blocks.elements[blocks.first[block]] < final_count for block in left]
