"""TokenDFA: states, and the classes of tokens that lead from one to another."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from redraft.errors import ConstraintError, ConstraintUnsatisfiedError
from redraft.grammar.language.dfa import DFA
from redraft.grammar.tokens.token_transitions import Lift, Spelling
from redraft.grammar.tokens.utf8 import ByteDFA
from redraft.ops.vocabulary import TokenClasses

Ints = NDArray[np.int64]
NEVER = 1 << 30
MOST_TRANSITIONS = 2_000_000
MOST_PAIRS = 100_000  # of states: a canvas of 256 takes 200 MB with so many
NO_TOKENS = "no tokens of this vocabulary spell a text that the constraint admits"
TOO_LARGE = "too large; lower its bounds (of lengths, repetitions, depth)"


@dataclass(frozen=True, eq=False)
class TokenDFA:
    """States 0 to Q - 1, the last of them the end of the text. A pair is two states of which some
    token leads from the first to the second; pairs that the same classes make share their set.

    Attributes:
        start: where a text begins. final: bool [Q], where it may stop. ended: the last state,
            behind an end-of-text token.
        classes: int64 [V], the class of each token, -1 for tokens of no use. count: classes, K.
        source, target: int64 [P], of each pair, ascending by source. set_of: int64 [P], its set.
        set_start: int64 [U], where each set's classes begin in set_classes.
        class_source, class_target, class_number: int64 [E], every transition of every class,
            ascending by class.
    """

    start: int
    final: NDArray[np.bool_]
    classes: Ints
    count: int
    source: Ints
    target: Ints
    set_of: Ints
    set_start: Ints
    set_classes: Ints
    class_source: Ints
    class_target: Ints
    class_number: Ints
    _token_classes: dict[torch.device, TokenClasses] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        automaton: DFA,
        spelling: Spelling,
        ends: Collection[int],
        fillers: Collection[int],
        size: int,
    ) -> TokenDFA:
        """The token sequences that spell a text of an automaton, end, and are filled up.

        Args:
            ends: tokens that end a text. fillers: tokens that stand behind the end beside these.
                size: tokens of the model.

        Raises:
            ConstraintUnsatisfiedError: no tokens spell any of its texts. ConstraintError: it is too
                large.
        """
        if automaton.empty:
            raise ConstraintUnsatisfiedError("the constraint admits no text at all")
        letters = ByteDFA.of(automaton)
        lift = Lift(letters, spelling)
        ended = len(letters.table)
        classes = np.full(size, -1, dtype=np.int64)
        known = min(size, len(lift.classes))
        classes[:known] = lift.classes[:known]
        functions = list(lift.functions)
        final = np.append(letters.final, True)
        marks = _marks(letters, ends, fillers, ended)
        for token, arcs in marks.items():
            if token < size:
                classes[token] = len(functions)
                functions.append((np.array([s for s, _ in arcs]), np.array([t for _, t in arcs])))
        used, classes[classes >= 0] = np.unique(classes[classes >= 0], return_inverse=True)
        if not len(used):
            raise ConstraintUnsatisfiedError(NO_TOKENS)
        functions = [functions[number] for number in used.tolist()]
        number = np.repeat(np.arange(len(functions)), [len(states) for states, _ in functions])
        source = np.concatenate([states for states, _ in functions])
        target = np.concatenate([reached for _, reached in functions])
        return _trimmed(final, classes, number, source, target)

    @property
    def size(self) -> int:
        """What it takes, in transitions."""
        return len(self.class_source)

    @property
    def ended(self) -> int:
        return len(self.final) - 1

    @cached_property
    def steps_left(self) -> Ints:
        """int64 [Q], the fewest tokens from each state to where the text may stop."""
        left = np.where(self.final, 0, NEVER).astype(np.int64)
        while True:
            nearer = left.copy()
            np.minimum.at(nearer, self.source, left[self.target] + 1)
            if (nearer == left).all():
                return left
            left = nearer

    def token_classes(self, device: torch.device) -> TokenClasses:
        """The classes as the vocabulary is read by them."""
        if device not in self._token_classes:
            self._token_classes[device] = TokenClasses.of(
                torch.from_numpy(self.classes).to(device), self.count
            )
        return self._token_classes[device]

    def step(self, states: NDArray[np.bool_], given: int = -1) -> NDArray[np.bool_]:
        """Where one token leads from any of some states (bool [Q]): any token, or one of the class
        `given`."""
        reached = np.zeros_like(states)
        if given < 0:
            reached[self.target[states[self.source]]] = True
        else:
            part = slice(*self._first_of_class[given : given + 2])
            reached[self.class_target[part][states[self.class_source[part]]]] = True
        return reached

    @cached_property
    def by_source(self) -> tuple[Ints, Ints, Ints]:
        """The states that lead anywhere, where the pairs of each begin, and how many it has."""
        states, starts, sizes = np.unique(self.source, return_index=True, return_counts=True)
        return states, starts, sizes

    @cached_property
    def set_sizes(self) -> Ints:
        """Classes in each set."""
        return np.diff(self.set_start, append=len(self.set_classes))

    @cached_property
    def by_class(self) -> tuple[Ints, Ints]:
        """Members of sets in the order of their classes, and where those of each class begin."""
        order = np.argsort(self.set_classes, kind="stable")
        return order, np.searchsorted(self.set_classes[order], np.arange(self.count))

    @cached_property
    def _first_of_class(self) -> Ints:
        return np.searchsorted(self.class_number, np.arange(self.count + 1))

    def after(self, state: int, tokens: Iterable[int]) -> int | None:
        """Where tokens lead; None where one of them is not allowed."""
        for token in tokens:
            number = self.classes[token] if 0 <= token < len(self.classes) else -1
            if number < 0:
                return None
            first, past = self._first_of_class[number : number + 2]
            at = first + np.searchsorted(self.class_source[first:past], state)
            if at == past or self.class_source[at] != state:
                return None
            state = int(self.class_target[at])
        return state


def _marks(
    letters: ByteDFA, ends: Collection[int], fillers: Collection[int], ended: int
) -> dict[int, list[tuple[int, int]]]:
    """Where special tokens lead: those of the language, those that end a text, those that stand
    behind its end."""
    marks: dict[int, dict[int, int]] = {}
    if both := sorted({token for _, token, _ in letters.special} & set(ends)):
        raise ConstraintError(
            f"token {both[0]} stands inside the constraint's texts: take it out of eos_token_id"
        )
    for state, token, target in letters.special:
        marks.setdefault(token, {})[state] = target
    for token in ends:
        for state in np.flatnonzero(letters.final).tolist():
            marks.setdefault(token, {}).setdefault(state, ended)
    for token in (*ends, *fillers):
        marks.setdefault(token, {})[ended] = ended
    return {token: sorted(arcs.items()) for token, arcs in marks.items()}


def _trimmed(
    final: NDArray[np.bool_], classes: Ints, number: Ints, source: Ints, target: Ints
) -> TokenDFA:
    """Without what no text needs, states and classes numbered anew."""
    states = len(final)
    live = _reached(source, target, np.array([0]), states) & _reached(
        target, source, np.flatnonzero(final), states
    )
    if not live[0]:
        raise ConstraintUnsatisfiedError(NO_TOKENS)
    live[-1] = True
    kept = live[source] & live[target]
    number, source, target = number[kept], source[kept], target[kept]
    if len(number) > MOST_TRANSITIONS:
        raise ConstraintError(f"the constraint has {len(number)} transitions: {TOO_LARGE}")
    renumbered = np.cumsum(live) - 1
    number, source, target, classes = _distinct(
        number, renumbered[source], renumbered[target], classes
    )
    order = np.lexsort((source, number))
    number, source, target = number[order], source[order], target[order]
    keys, pair_of = np.unique(source * states + target, return_inverse=True)
    if len(keys) > MOST_PAIRS:
        raise ConstraintError(f"the constraint has {len(keys)} pairs of states: {TOO_LARGE}")
    set_of, set_start, set_classes = _sets(pair_of, number, len(keys))
    return TokenDFA(
        start=0,
        final=final[live],
        classes=classes,
        count=int(number[-1]) + 1,
        source=keys // states,
        target=keys % states,
        set_of=set_of,
        set_start=set_start,
        set_classes=set_classes,
        class_source=source,
        class_target=target,
        class_number=number,
    )


def _reached(source: Ints, target: Ints, begin: Ints, states: int) -> NDArray[np.bool_]:
    found = np.zeros(states, dtype=bool)
    found[begin] = True
    while True:
        before = found.sum()
        found[target[found[source]]] = True
        if found.sum() == before:
            return found


def _distinct(
    number: Ints, source: Ints, target: Ints, classes: Ints
) -> tuple[Ints, Ints, Ints, Ints]:
    """Transitions and classes of tokens, those classes as one that have become alike, none for
    those that lead nowhere."""
    functions: dict[tuple[bytes, bytes], int] = {}
    renumbered = np.full(int(max(number.max(), classes.max())) + 1, -1, dtype=np.int64)
    order = np.lexsort((source, number))
    edges = np.flatnonzero(np.diff(number[order], prepend=-1, append=number.max() + 1))
    kept = np.zeros(len(number), dtype=bool)
    for first, past in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part = order[first:past]
        key = source[part].tobytes(), target[part].tobytes()
        if key not in functions:
            functions[key] = len(functions)
            kept[part] = True
        renumbered[number[part[0]]] = functions[key]
    return (
        renumbered[number[kept]],
        source[kept],
        target[kept],
        np.where(classes < 0, -1, renumbered[classes]),
    )


def _sets(pair_of: Ints, number: Ints, pairs: int) -> tuple[Ints, Ints, Ints]:
    """The set of classes of each pair, those sets end to end."""
    order = np.lexsort((number, pair_of))
    edges = np.searchsorted(pair_of[order], np.arange(pairs + 1)).tolist()
    ordered = number[order]
    found: dict[bytes, int] = {}
    set_of = np.empty(pairs, dtype=np.int64)
    parts: list[Ints] = []
    for pair in range(pairs):
        part = ordered[edges[pair] : edges[pair + 1]]
        key = part.tobytes()
        if key not in found:
            found[key] = len(parts)
            parts.append(part)
        set_of[pair] = found[key]
    starts = np.cumsum([0, *(len(part) for part in parts)])[:-1]
    return set_of, starts, np.concatenate(parts)
