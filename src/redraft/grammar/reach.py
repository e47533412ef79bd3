"""Reach: the edges of a DFA that a text can take at each position, from the state it begins in."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redraft.grammar.tokens.token_dfa import TokenDFA

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# A layer with more than this part of all edges has them all: so lists of edges stay small.
MAX_PART = 0.25
# With no more edges than this, leaving some out saves nothing.
FEW_EDGES = 2000
# What a position costs beside its edges, in edges.
WORK_OF_POSITION = 1000
KERNEL_BYTES = 8


@dataclass(frozen=True)
class EdgeLayer:
    """The edges of one position, ascending.

    Attributes:
        edges: int32 [P'], their numbers in the DFA; None for all.
        sources: int32 [S'], the states they leave, as places in `TokenDFA.edges_by_source`; None
            for all. All edges of such a state are here.
    """

    edges: NDArray[np.int32] | None = None
    sources: NDArray[np.int32] | None = None

    def of(self, values: Ints) -> Ints:
        """Return the layer's part of values of all edges, [P']."""
        return values if self.edges is None else values.take(self.edges)

    def by_source(self, dfa: TokenDFA) -> tuple[Ints, Ints, Ints]:
        """Return the states that have edges here, the first edge of each in this layer, and how
        many each has."""
        states, starts, sizes = dfa.edges_by_source
        if self.sources is None:
            return states, starts, sizes
        sizes = sizes.take(self.sources)
        return states.take(self.sources), sizes.cumsum() - sizes, sizes

    def size(self, dfa: TokenDFA) -> int:
        """Return the number of edges."""
        return len(dfa.edge_source) if self.edges is None else len(self.edges)

    def place(self, edge: int) -> int:
        """Return the place in this layer of an edge that is in it."""
        return edge if self.edges is None else int(np.searchsorted(self.edges, edge))


def layers_from(
    dfa: TokenDFA, start: int, count: int
) -> Generator[int, None, tuple[EdgeLayer, ...]]:
    """Return the layers of `count` positions; yield the work of each, in edges."""
    if len(dfa.edge_source) <= FEW_EDGES:
        return (EdgeLayer(),) * count
    states, starts, sizes = dfa.edges_by_source
    place = np.full(len(dfa.final), -1, dtype=np.int64)
    place[states] = np.arange(len(states))
    reached = np.zeros(len(dfa.final), dtype=bool)
    here = np.array([start])
    layers = []
    for _ in range(count):
        sources = place[here]
        sources = sources[sources >= 0]
        own = sizes[sources]
        ends = own.cumsum()
        total = int(ends[-1]) if len(ends) else 0
        edges = np.arange(total) + (starts[sources] - (ends - own)).repeat(own)
        wide = total > MAX_PART * len(dfa.edge_source)
        layers.append(EdgeLayer() if wide else EdgeLayer(edges.astype("i4"), sources.astype("i4")))
        reached[dfa.edge_target[edges]] = True
        here = np.flatnonzero(reached)
        reached[here] = False
        yield total + WORK_OF_POSITION
    return tuple(layers)


def memory_of(dfa: TokenDFA, positions: int) -> int:
    """Return the bytes that inference over so many positions holds at most: a kernel, float64
    [positions, P], and the numbers of the edges where a layer has few."""
    return KERNEL_BYTES * positions * len(dfa.edge_source)


def work_of(dfa: TokenDFA, positions: int, layers: Sequence[EdgeLayer] | None = None) -> int:
    """Return the work of inference over so many positions, in edges; at most so much where the
    layers are not known."""
    edges = positions * len(dfa.edge_source)
    passes = 4  # the layers themselves, and three that follow
    if layers is not None:
        edges, passes = sum(layer.size(dfa) for layer in layers), 3
    return passes * (edges + positions * WORK_OF_POSITION) + 2 * positions * len(dfa.label_classes)
