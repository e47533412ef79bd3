"""Exact inference over the texts of a constraint that fit a canvas: best, sample, marginals.

Positions are independent, as the model has them, but for the constraint: the classes of tokens, a
position each, must lead an automaton from where it stands to where the text may stop. That is a
Markov chain over the automaton's states, and the classical recursions are exact on it (Rabiner
1989; for diffusion models, the best text alone: DINGO, arXiv 2505.23061):

    backward, sums:   beta_i(s) = log sum over t of exp(W_i(s, t) + beta_{i+1}(t))        what can
    still come behind s
    kernel:           k_i(t | s) = exp(W_i(s, t) + beta_{i+1}(t) - beta_i(s))             the chain,
    given the end
    forward:          mu_{i+1}(t) = sum over s of mu_i(s) k_i(t | s)                      marginals
    backward, maxima: v_i(s) = max over t of B_i(s, t) + v_{i+1}(t)                       the best
    text (Viterbi)

W_i(s, t) is the log mass of all tokens that lead from s to t, B_i(s, t) the log probability of the
likeliest of them. A sample follows the kernel forward (forward filtering, backward sampling,
mirrored). The work is positions times pairs of states, and knows nothing of the size of the
vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redraft.errors import ConstraintUnsatisfiedError
from redraft.grammar.tokens.token_dfa import TokenDFA

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NEVER = -1e30  # the logarithm of what cannot be
LEAST = -1e15  # the logarithm of what is as unlikely as can be, and still possible: a canvas of it is far above NEVER


@dataclass(frozen=True)
class Weights:
    """What positions think of classes: log masses [n, K], and log probabilities of each class's
    likeliest token [n, K]; of a position that is given, `given` int64 [n] has the class (-1
    elsewhere) and the others are out."""

    mass: Floats
    best: Floats
    given: Ints

    def __getitem__(self, positions: slice) -> Weights:
        return Weights(self.mass[positions], self.best[positions], self.given[positions])


@dataclass(frozen=True)
class Inferred:
    """What follows for a canvas.

    marginals: float64 [n, K], the probability of each class at each position. best, sample: int64
    [n], the classes of the likeliest text and of a sampled one. left: float64 [n] in (0, 1), what
    is left of the draws for choosing within the class.
    log_mass: of all texts together.
    """

    marginals: Floats
    best: Ints
    sample: Ints
    left: Floats
    log_mass: float


def infer(
    automaton: TokenDFA,
    weights: Weights,
    start: int,
    ends: NDArray[np.bool_],
    uniform: Floats,
) -> Inferred:
    """Inference over n positions from a state to any of `ends` (bool [Q]).

    Args:
        uniform: [n] in (0, 1), one draw a position.

    Raises:
        ConstraintUnsatisfiedError: no text fits.
    """
    pairs = _Pairs.of(automaton, weights)
    kernel, beta = pairs.backward(ends)
    if beta[start] <= NEVER / 2:
        raise ConstraintUnsatisfiedError(
            "no text that the constraint admits fits what stands on the canvas"
        )
    marginals = pairs.class_marginals(kernel, start)
    sample, left = pairs.sample(kernel, start, uniform)
    return Inferred(marginals, pairs.best(start, ends), sample, left, float(beta[start]))


@dataclass(frozen=True)
class _Pairs:
    """The weights of pairs of states, from those of classes, kept by set of classes.

    within: [n, E], the mass of each class relative to the greatest in its set, in the order of
    set_classes.
    likely: [n, E], the logarithm of its likeliest token's. total: [n, U], the sum of each set's
    masses.
    sums, likeliest: [n, U], the logarithms of the set's mass and of its likeliest token's.
    """

    automaton: TokenDFA
    within: Floats
    likely: Floats
    total: Floats
    sums: Floats
    likeliest: Floats

    @classmethod
    def of(cls, automaton: TokenDFA, weights: Weights) -> _Pairs:
        mass, best = np.maximum(weights.mass, LEAST), np.maximum(weights.best, LEAST)
        known = np.flatnonzero(weights.given >= 0)
        mass[known] = best[known] = NEVER
        mass[known, weights.given[known]] = best[known, weights.given[known]] = 0.0
        classes, starts = automaton.set_classes, automaton.set_start
        within, likely = mass[:, classes], best[:, classes]
        top = np.maximum.reduceat(within, starts, axis=1)
        within -= top.repeat(automaton.set_sizes, axis=1)
        np.exp(within, out=within)
        total = np.add.reduceat(within, starts, axis=1)
        sums = np.maximum(top + np.log(total), NEVER)
        return cls(
            automaton, within, likely, total, sums, np.maximum.reduceat(likely, starts, axis=1)
        )

    def backward(self, ends: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """The kernel [n, P], and beta [Q] at the first position."""
        automaton = self.automaton
        states, starts, sizes = automaton.by_source
        beta = np.where(ends, 0.0, NEVER)
        kernel = np.empty((len(self.sums), len(automaton.source)))
        for at in range(len(self.sums) - 1, -1, -1):
            reached = self.sums[at].take(automaton.set_of)
            reached += beta.take(automaton.target)
            top = np.maximum.reduceat(reached, starts)
            reached -= top.repeat(sizes)
            mass = np.exp(reached, out=kernel[at])
            total = np.add.reduceat(mass, starts)
            mass /= total.repeat(sizes)
            beta = np.full(len(ends), NEVER)
            beta[states] = np.maximum(top + np.log(total), NEVER)
        return kernel, beta

    def class_marginals(self, kernel: Floats, start: int) -> Floats:
        """[n, K]: how likely each class is at each position."""
        automaton = self.automaton
        states = np.zeros(len(automaton.final))
        states[start] = 1.0
        share = np.zeros_like(self.total)
        for at, row in enumerate(kernel):
            flow = states.take(automaton.source) * row
            states = np.bincount(automaton.target, flow, len(states)).astype(np.float64)
            share[at] = np.bincount(automaton.set_of, flow, share.shape[1])
        spread = self.within * (share / self.total).repeat(automaton.set_sizes, axis=1)
        order, edges = automaton.by_class
        return np.add.reduceat(spread[:, order], edges, axis=1)

    def best(self, start: int, ends: NDArray[np.bool_]) -> Ints:
        """The classes [n] of the likeliest text."""
        automaton = self.automaton
        states, starts, _ = automaton.by_source
        values = [np.where(ends, 0.0, NEVER)]
        for row in self.likeliest[::-1]:
            before = np.full(len(ends), NEVER)
            before[states] = np.maximum.reduceat(
                row.take(automaton.set_of) + values[-1].take(automaton.target), starts
            )
            values.append(before)
        found = np.empty(len(self.likeliest), dtype=np.int64)
        for at, after in enumerate(values[-2::-1]):
            pairs = self._from(start)
            value = self.likeliest[at, automaton.set_of[pairs]] + after[automaton.target[pairs]]
            pair = pairs.start + int(value.argmax())
            members = self._classes(pair)
            found[at] = automaton.set_classes[
                members.start + int(self.likely[at, members].argmax())
            ]
            start = int(automaton.target[pair])
        return found

    def sample(self, kernel: Floats, start: int, uniform: Floats) -> tuple[Ints, Floats]:
        """The classes [n] of a sampled text, and what is left of each draw."""
        automaton = self.automaton
        found, rest = np.empty(len(kernel), dtype=np.int64), np.empty(len(kernel))
        for at, row in enumerate(kernel):
            pairs = self._from(start)
            pair, left = _drawn(row[pairs], float(uniform[at]))
            members = self._classes(pairs.start + pair)
            member, rest[at] = _drawn(self.within[at, members], left)
            found[at] = automaton.set_classes[members.start + member]
            start = int(automaton.target[pairs.start + pair])
        return found, rest

    def _from(self, state: int) -> slice:
        return slice(*np.searchsorted(self.automaton.source, [state, state + 1]).tolist())

    def _classes(self, pair: int) -> slice:
        number = int(self.automaton.set_of[pair])
        starts = self.automaton.set_start
        past = starts[number + 1] if number + 1 < len(starts) else len(self.automaton.set_classes)
        return slice(int(starts[number]), int(past))


def _drawn(masses: Floats, uniform: float) -> tuple[int, float]:
    """The first whose cumulative mass passes the draw, and how far into it the draw lies, in (0,
    1)."""
    reached = masses.cumsum()
    target = uniform * reached[-1]
    at = int(np.searchsorted(reached, target, side="right"))
    at = min(at, int(np.flatnonzero(masses)[-1]))
    left = (target - (reached[at] - masses[at])) / masses[at]
    return at, float(min(max(left, 1e-15), 1 - 1e-15))
