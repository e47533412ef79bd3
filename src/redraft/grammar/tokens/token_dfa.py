"""TokenDFA: a DFA over classes of tokens, the compiled form of a constraint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from redraft.grammar.language.graph import distances

if TYPE_CHECKING:  # a process that compiles does without torch
    import torch

    from redraft.ops.vocabulary import TokenClasses

Ints = NDArray[np.int64]
UNREACHABLE = 1 << 30  # a number of tokens from which no final state is reached


@dataclass(frozen=True, eq=False)
class TokenDFA:
    """States 0 to Q - 1; the last state is behind an end-of-text token.

    A *transition* is (state, token class, next state). An *edge* is a pair of states with at least
    one transition; its *label* is the set of token classes that lead along it. Edges with the same
    label share it.

    Attributes:
        start: the state in which a text begins.
        final: bool [Q], the states in which a text may stop.
        token_class: int64 [V], the class of each token, -1 for tokens that no text contains.
        class_count: the number of classes, K.
        edge_source, edge_target: int64 [P], the states of each edge, ascending by source.
        edge_label: int64 [P], the number of each edge's label.
        label_start: int64 [U], where the classes of each label begin in `label_classes`.
        label_classes: int64 [E], the classes of all labels, one label after another.
        transition_source, transition_target, transition_class: int64 [T], all transitions,
            ascending by class, then by source.
    """

    start: int
    final: NDArray[np.bool_]
    token_class: Ints
    class_count: int
    edge_source: Ints
    edge_target: Ints
    edge_label: Ints
    label_start: Ints
    label_classes: Ints
    transition_source: Ints
    transition_target: Ints
    transition_class: Ints
    _vocabulary_classes: dict[torch.device, TokenClasses] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The number of transitions, which its memory is proportional to."""
        return len(self.transition_source)

    @property
    def ended(self) -> int:
        """The state behind an end-of-text token."""
        return len(self.final) - 1

    @cached_property
    def tokens_to_final(self) -> Ints:
        """int64 [Q], the fewest tokens from each state to a final one."""
        found = distances(
            self.edge_target, self.edge_source, np.flatnonzero(self.final), len(self.final)
        )
        return np.where(found < 0, UNREACHABLE, found)

    @property
    def min_tokens(self) -> int:
        """The number of tokens of the shortest text, without an end token."""
        return int(self.tokens_to_final[self.start])

    def prepare(self) -> None:
        """Work out now all that is worked out at first use."""
        names = "tokens_to_final", "edges_by_source", "label_sizes", "label_order"
        for name in (*names, "_by_source"):
            getattr(self, name)

    def vocabulary_classes(self, device: torch.device) -> TokenClasses:
        """Return the classes in the form in which the vocabulary pass reads them."""
        import torch

        from redraft.ops.vocabulary import TokenClasses

        if device not in self._vocabulary_classes:
            self._vocabulary_classes[device] = TokenClasses.of(
                torch.from_numpy(self.token_class).to(device), self.class_count
            )
        return self._vocabulary_classes[device]

    def step(self, states: NDArray[np.bool_], token_class: int = -1) -> NDArray[np.bool_]:
        """Return the states, bool [Q], after one token: any token, or one of `token_class`."""
        reached = np.zeros_like(states)
        if token_class < 0:
            reached[self.edge_target[states[self.edge_source]]] = True
        else:
            part = slice(*self._first_of_class[token_class : token_class + 2])
            alive = states[self.transition_source[part]]
            reached[self.transition_target[part][alive]] = True
        return reached

    def state_after(self, state: int, tokens: Iterable[int]) -> int | None:
        """Return the state after these tokens, None where one of them is not allowed."""
        for token in tokens:
            number = self.token_class[token] if 0 <= token < len(self.token_class) else -1
            if number < 0:
                return None
            first, past = self._first_of_class[number : number + 2]
            at = first + np.searchsorted(self.transition_source[first:past], state)
            if at == past or self.transition_source[at] != state:
                return None
            state = int(self.transition_target[at])
        return state

    def transitions_from(self, state: int) -> Ints:
        """Return the numbers of the transitions that leave a state, ascending."""
        order, starts = self._by_source
        return order[starts[state] : starts[state + 1]]

    @cached_property
    def _by_source(self) -> tuple[Ints, Ints]:
        """The transitions in the order of their sources, int64 [T], and where each state begins in
        that order, int64 [Q + 1]."""
        order = np.argsort(self.transition_source, kind="stable")
        states = np.arange(len(self.final) + 1)
        return order, np.searchsorted(self.transition_source[order], states)

    @cached_property
    def edges_by_source(self) -> tuple[Ints, Ints, Ints]:
        """The states that have edges, the first edge of each, and how many each has."""
        states, starts, sizes = np.unique(self.edge_source, return_index=True, return_counts=True)
        return states, starts, sizes

    @cached_property
    def label_sizes(self) -> Ints:
        """int64 [U], the number of classes of each label."""
        return np.diff(self.label_start, append=len(self.label_classes))

    @cached_property
    def label_order(self) -> tuple[Ints, Ints]:
        """The indices of `label_classes` in the order of their classes, int64 [E], and where each
        class begins in that order, int64 [K]."""
        order = np.argsort(self.label_classes, kind="stable")
        return order, np.searchsorted(self.label_classes[order], np.arange(self.class_count))

    @cached_property
    def _first_of_class(self) -> Ints:
        """int64 [K + 1], the first transition of each class."""
        return np.searchsorted(self.transition_class, np.arange(self.class_count + 1))
