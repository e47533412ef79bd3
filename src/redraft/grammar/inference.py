"""Exact inference on a canvas under a constraint: best text, sample and marginals.

The network gives independent distributions at the n positions of a canvas. The constraint couples
them: the token classes, one a position, must lead a token DFA from its current state to a state in
which the canvas may end. That is a Markov chain over the DFA's states, a conditional random field
on a line, and the classical recursions are exact (forward-backward and Viterbi, Rabiner 1989; for
diffusion models, the best text alone: DINGO, arXiv:2505.23061):

    backward sums     beta_i(s)    = log sum_t exp(W_i(s, t) + beta_{i+1}(t))
    kernel            k_i(t | s)   = exp(W_i(s, t) + beta_{i+1}(t) - beta_i(s))
    forward           mu_{i+1}(t)  = sum_s mu_i(s) k_i(t | s)
    backward maxima   v_i(s)       = max_t B_i(s, t) + v_{i+1}(t)

W_i(s, t) is the log mass of all tokens that lead from s to t at position i; B_i(s, t) is the log
probability of the likeliest of them. beta_0(start) is the log partition function, k is the chain
conditioned on a valid end, mu gives the marginals, and v the best text. A sample follows the kernel
from left to right, so it is drawn from all valid texts in their true proportion.

The work is positions times edges that can be reached there. It does not depend on the size of the
vocabulary. `inference` gives way after each position, so that a long one can be done in pieces; no
bit depends on that, or on leaving out what is not reached.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redraft.errors import ConstraintUnsatisfiedError
from redraft.grammar.pace import PiecewiseWork
from redraft.grammar.reach import WORK_OF_POSITION, EdgeLayer, layers_from
from redraft.grammar.tokens.token_dfa import TokenDFA

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# The logarithm of what is impossible; finite, so that differences are never NaN.
LOG_ZERO = -1e30
# The least logarithm of what is possible: a sum over a whole canvas stays far above LOG_ZERO.
MIN_LOG_WEIGHT = -1e15
# Numbers of classes by label that are worked out at a time.
BLOCK = 1 << 18
# A draw inside a class stays in the open interval (0, 1) by this margin.
MARGIN = 1e-15


@dataclass(frozen=True)
class ClassWeights:
    """The network's distributions at n positions, by token class.

    Attributes:
        log_mass: float64 [n, K], the log of each class's total probability.
        best: float64 [n, K], the log probability of each class's likeliest token.
        frozen: int64 [n], the class of positions whose token is given, -1 elsewhere. The other
            classes are impossible there.

    Logarithms are up to a constant of each position.
    """

    log_mass: Floats
    best: Floats
    frozen: Ints

    def __getitem__(self, positions: slice) -> ClassWeights:
        return ClassWeights(self.log_mass[positions], self.best[positions], self.frozen[positions])


@dataclass(frozen=True)
class CanvasInference:
    """The result of inference over n positions.

    Attributes:
        marginals: float64 [n, K], the probability of each class, given that the text is valid.
        best: int64 [n], the classes of the likeliest text.
        sample: int64 [n], the classes of a sampled text.
        uniform: float64 [n] in (0, 1), the rest of each draw, for a choice within the class.
        log_partition: the log mass of all valid texts together.
    """

    marginals: Floats
    best: Ints
    sample: Ints
    uniform: Floats
    log_partition: float


Inference = Generator[int, None, CanvasInference]


def infer(
    dfa: TokenDFA,
    weights: ClassWeights,
    start: int,
    ends: NDArray[np.bool_],
    uniform: Floats,
) -> CanvasInference:
    """Infer over n positions, from state `start` to any of `ends` (bool [Q]).

    Args:
        uniform: float64 [n] in (0, 1), one draw a position.

    Raises:
        ConstraintUnsatisfiedError: no text of n tokens is valid.
    """
    return PiecewiseWork(inference(dfa, weights, start, ends, uniform)).run(None)


def inference(
    dfa: TokenDFA,
    weights: ClassWeights,
    start: int,
    ends: NDArray[np.bool_],
    uniform: Floats,
    layers: Sequence[EdgeLayer] | None = None,
) -> Inference:
    """Infer as `infer` does, in pieces: yield the work of each, in edges; return the result.

    Args:
        layers: those from `start`, where they are known.
    """
    if layers is None:
        layers = yield from layers_from(dfa, start, len(uniform))
    edges = yield from _EdgeWeights.of(dfa, weights, layers)
    kernel, beta = yield from edges.backward(ends)
    if beta[start] <= LOG_ZERO / 2:
        raise ConstraintUnsatisfiedError(
            "no text that the constraint admits agrees with the frozen tokens of the canvas"
        )
    marginals = yield from edges.class_marginals(kernel, start)
    sample, rest = edges.sample(kernel, start, uniform)
    best = yield from edges.best(start, ends)
    return CanvasInference(marginals, best, sample, rest, float(beta[start]))


@dataclass(frozen=True)
class _EdgeWeights:
    """The weights of edges, stored by label, because edges share labels.

    Attributes:
        within: float64 [n, E], the mass of each class of each label, relative to the label's
            greatest. E runs along `TokenDFA.label_classes`.
        likely: float64 [n, E], the log probability of each class's likeliest token.
        total: float64 [n, U], the sum of `within` over each label.
        log_mass: float64 [n, U], W, the log mass of each label.
        best_log: float64 [n, U], B, the log probability of each label's likeliest token.
    """

    dfa: TokenDFA
    layers: Sequence[EdgeLayer]
    within: Floats
    likely: Floats
    total: Floats
    log_mass: Floats
    best_log: Floats

    @classmethod
    def of(
        cls, dfa: TokenDFA, weights: ClassWeights, layers: Sequence[EdgeLayer]
    ) -> Generator[int, None, _EdgeWeights]:
        mass = np.maximum(weights.log_mass, MIN_LOG_WEIGHT)
        best = np.maximum(weights.best, MIN_LOG_WEIGHT)
        frozen = np.flatnonzero(weights.frozen >= 0)
        mass[frozen] = best[frozen] = LOG_ZERO
        given = weights.frozen[frozen]
        mass[frozen, given] = best[frozen, given] = 0.0
        classes, starts = dfa.label_classes, dfa.label_start
        by_class, by_label = (len(mass), len(classes)), (len(mass), len(starts))
        found = cls(dfa, layers, *map(np.empty, (by_class, by_class, by_label, by_label, by_label)))
        for part in _blocks(len(mass), len(classes)):
            within, likely = mass[part, classes], best[part, classes]
            top = np.maximum.reduceat(within, starts, axis=1)
            within -= top.repeat(dfa.label_sizes, axis=1)
            found.within[part] = np.exp(within, out=within)
            found.total[part] = total = np.add.reduceat(within, starts, axis=1)
            found.log_mass[part] = np.maximum(top + np.log(total), LOG_ZERO)
            found.likely[part] = likely
            found.best_log[part] = np.maximum.reduceat(likely, starts, axis=1)
            yield within.size
        return found

    def backward(
        self, ends: NDArray[np.bool_]
    ) -> Generator[int, None, tuple[list[Floats], Floats]]:
        """Return the kernel, float64 [P'] of each position's layer, and beta of the first position,
        float64 [Q]."""
        dfa = self.dfa
        beta = np.where(ends, 0.0, LOG_ZERO)
        kernel = []
        for layer, log_mass in zip(self.layers[::-1], self.log_mass[::-1], strict=True):
            states, starts, sizes = layer.by_source(dfa)
            mass = log_mass.take(layer.of(dfa.edge_label))
            mass += beta.take(layer.of(dfa.edge_target))
            beta = np.full(len(ends), LOG_ZERO)
            if len(states):
                top = np.maximum.reduceat(mass, starts)
                mass -= top.repeat(sizes)
                np.exp(mass, out=mass)
                total = np.add.reduceat(mass, starts)
                mass /= total.repeat(sizes)
                beta[states] = np.maximum(top + np.log(total), LOG_ZERO)
            kernel.append(mass)
            yield len(mass) + WORK_OF_POSITION
        return kernel[::-1], beta

    def class_marginals(self, kernel: Sequence[Floats], start: int) -> Generator[int, None, Floats]:
        """Return the marginal probability of each class at each position, float64 [n, K]."""
        dfa = self.dfa
        states = np.zeros(len(dfa.final))
        states[start] = 1.0
        share = np.zeros_like(self.total)
        for at, (layer, row) in enumerate(zip(self.layers, kernel, strict=True)):
            flow = states.take(layer.of(dfa.edge_source)) * row
            target, label = layer.of(dfa.edge_target), layer.of(dfa.edge_label)
            states = np.bincount(target, flow, len(states)).astype(np.float64)
            share[at] = np.bincount(label, flow, share.shape[1])
            yield len(row) + WORK_OF_POSITION
        share /= self.total
        order, starts = dfa.label_order
        found = np.empty((len(share), dfa.class_count))
        for part in _blocks(len(share), len(order)):
            spread = self.within[part] * share[part].repeat(dfa.label_sizes, axis=1)
            found[part] = np.add.reduceat(spread[:, order], starts, axis=1)
            yield spread.size
        return found

    def best(self, start: int, ends: NDArray[np.bool_]) -> Generator[int, None, Ints]:
        """Return the classes of the likeliest text, int64 [n] (Viterbi)."""
        dfa = self.dfa
        values = [np.where(ends, 0.0, LOG_ZERO)]
        for layer, row in zip(self.layers[::-1], self.best_log[::-1], strict=True):
            states, starts, _ = layer.by_source(dfa)
            before = np.full(len(ends), LOG_ZERO)
            through = row.take(layer.of(dfa.edge_label))
            through += values[-1].take(layer.of(dfa.edge_target))
            before[states] = np.maximum.reduceat(through, starts)
            values.append(before)
            yield len(through) + WORK_OF_POSITION
        found = np.empty(len(self.best_log), dtype=np.int64)
        state = start
        for at, after in enumerate(values[-2::-1]):
            edges = self._edges_from(state)
            value = self.best_log[at, dfa.edge_label[edges]] + after[dfa.edge_target[edges]]
            edge = edges.start + int(value.argmax())
            members = self._label_of(edge)
            member = members.start + int(self.likely[at, members].argmax())
            found[at] = dfa.label_classes[member]
            state = int(dfa.edge_target[edge])
        return found

    def sample(self, kernel: Sequence[Floats], start: int, uniform: Floats) -> tuple[Ints, Floats]:
        """Return the classes of a sampled text, int64 [n], and the rest of each draw."""
        dfa = self.dfa
        found, rest = np.empty(len(kernel), dtype=np.int64), np.empty(len(kernel))
        state = start
        for at, (layer, row) in enumerate(zip(self.layers, kernel, strict=True)):
            edges = self._edges_from(state)
            first = layer.place(edges.start)
            masses = row[first : first + edges.stop - edges.start]
            edge, left = _draw(masses, float(uniform[at]))
            members = self._label_of(edges.start + edge)
            member, rest[at] = _draw(self.within[at, members], left)
            found[at] = dfa.label_classes[members.start + member]
            state = int(dfa.edge_target[edges.start + edge])
        return found, rest

    def _edges_from(self, state: int) -> slice:
        return slice(*np.searchsorted(self.dfa.edge_source, [state, state + 1]).tolist())

    def _label_of(self, edge: int) -> slice:
        """Return the place of an edge's classes in `label_classes`."""
        number = int(self.dfa.edge_label[edge])
        starts = self.dfa.label_start
        past = starts[number + 1] if number + 1 < len(starts) else len(self.dfa.label_classes)
        return slice(int(starts[number]), int(past))


def _blocks(count: int, width: int) -> Iterator[slice]:
    """Yield slices of rows of so many numbers, so that each has a bounded number of them."""
    size = max(1, BLOCK // max(1, width))
    for first in range(0, count, size):
        yield slice(first, first + size)


def _draw(masses: Floats, uniform: float) -> tuple[int, float]:
    """Draw an index in proportion to the masses, by inversion.

    Returns:
        The index, and the place of the draw within its mass, in (0, 1): a fresh uniform number.
    """
    reached = masses.cumsum()
    target = uniform * reached[-1]
    at = int(np.searchsorted(reached, target, side="right"))
    at = min(at, int(np.flatnonzero(masses)[-1]))
    left = (target - (reached[at] - masses[at])) / masses[at]
    return at, float(min(max(left, MARGIN), 1 - MARGIN))
