"""Guide: where one text stands under its constraint, canvas by canvas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redraft.errors import ConstraintUnsatisfiedError
from redraft.grammar.inference import Inferred, Weights, infer
from redraft.grammar.tokens.token_dfa import TokenDFA
from redraft.ops.vocabulary import Picked, TokenClasses

Ints = NDArray[np.int64]


class Guide:
    """The state of one text.

    Attributes:
        state: of the automaton, behind all committed tokens. left: tokens that may still be
            written.
    """

    def __init__(self, automaton: TokenDFA, left: int) -> None:
        self.automaton = automaton
        self.state = automaton.start
        self.left = left

    @classmethod
    def checked(
        cls, automaton: TokenDFA, left: int, length: int, frozen: Mapping[int, int]
    ) -> Guide:
        """At the beginning of a text whose first canvas of `length` holds frozen tokens (position
        -> token).

        Raises:
            ConstraintUnsatisfiedError: no text fits.
        """
        guide = cls(automaton, left)
        least = int(automaton.steps_left[automaton.start])
        if least > left:
            raise ConstraintUnsatisfiedError(
                f"the shortest text that the constraint admits has {least} tokens, there is room for {left}: raise "
                "max_new_tokens"
            )
        canvas = guide.on_canvas(length, frozen)
        states = np.zeros(len(automaton.final), dtype=bool)
        states[guide.state] = True
        for given in canvas.given[: canvas.open].tolist():
            states = automaton.step(states, given)
        if not (states & canvas.ends).any():
            raise ConstraintUnsatisfiedError(
                "the frozen tokens leave no text that the constraint admits"
            )
        return guide

    def on_canvas(
        self, length: int, frozen: Mapping[int, int] | None = None, first: int = 0
    ) -> CanvasConstraint:
        """What the constraint says of the next `length` positions, which hold frozen tokens and
        begin at position `first` of a canvas.

        Raises:
            ConstraintUnsatisfiedError: one of these has no place in any text that the constraint
                admits.
        """
        given = np.full(length, -1, dtype=np.int64)
        for at, token in (frozen or {}).items():
            if at >= self.left:
                continue  # nobody reads it
            given[at] = self.automaton.classes[token]
            if given[at] < 0:
                raise ConstraintUnsatisfiedError(
                    f"the frozen token {token} is in no text that the constraint admits"
                )
        ends = (
            self.automaton.final
            if self.left <= length
            else self.automaton.steps_left <= self.left - length
        )
        return CanvasConstraint(
            slice(first, first + length),
            self.automaton,
            self.state,
            min(length, self.left),
            given,
            ends,
        )

    def allowed(self) -> NDArray[np.bool_]:
        """bool [V], the tokens that may come next, one at a time: those behind which the text can
        still be finished."""
        automaton = self.automaton
        here = (automaton.class_source == self.state) & (
            automaton.steps_left[automaton.class_target] < self.left
        )
        usable = np.zeros(automaton.count + 1, dtype=bool)
        usable[automaton.class_number[here]] = True
        found: NDArray[np.bool_] = usable[automaton.classes]  # -1, of no class, is the last
        return found

    def advance(self, tokens: Iterable[int]) -> None:
        """Tokens were committed."""
        tokens = list(tokens)
        state = self.automaton.after(self.state, tokens)
        assert state is not None, "a committed token breaks the constraint"
        self.state, self.left = state, self.left - len(tokens)


@dataclass(frozen=True)
class CanvasConstraint:
    """A constraint on one canvas (see `ops.vocabulary.Constraint`).

    span: its positions, n. start: the state before them. open: how many of them the text may take;
    behind them nothing is read.
    given: int64 [n], the class of frozen positions, -1 elsewhere. ends: bool [Q], where the open
    positions may lead.
    """

    span: slice
    automaton: TokenDFA
    start: int
    open: int
    given: Ints
    ends: NDArray[np.bool_]

    def classes(self, device: torch.device) -> TokenClasses:
        return self.automaton.token_classes(device)

    def pick(self, mass: Tensor, best: Tensor, uniform: Tensor, wanted: Tensor) -> Picked:
        at = np.flatnonzero(wanted.cpu().numpy())
        weights = Weights(self._all(mass, at), self._all(best, at), self.given)
        draws = np.full(len(self.given), 0.5)
        draws[at] = uniform.cpu().numpy()
        inner = infer(
            self.automaton, weights[: self.open], self.start, self.ends, draws[: self.open]
        )
        parts = [inner, *self._behind(weights, draws)]

        def column(name: str, dtype: torch.dtype) -> Tensor:
            whole = np.concatenate([getattr(part, name) for part in parts])[at]
            return torch.from_numpy(whole).to(mass.device, dtype)

        return Picked(
            marginals=column("marginals", torch.float32),
            best=column("best", torch.int64),
            sample=column("sample", torch.int64),
            uniform=column("left", torch.float64),
        )

    def _behind(self, weights: Weights, draws: NDArray[np.float64]) -> list[Inferred]:
        """Behind the last token that may be written stands what stands behind an end."""
        if self.open == len(self.given):
            return []
        ended = np.zeros(len(self.automaton.final), dtype=bool)
        ended[self.automaton.ended] = True
        return [
            infer(
                self.automaton,
                weights[self.open :],
                self.automaton.ended,
                ended,
                draws[self.open :],
            )
        ]

    def _all(self, found: Tensor, at: Ints) -> NDArray[np.float64]:
        """Of all positions, those that nobody asked for among them."""
        whole = np.zeros((len(self.given), self.automaton.count))
        whole[at] = found.double().cpu().numpy()
        return whole
