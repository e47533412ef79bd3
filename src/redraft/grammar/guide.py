"""Guide: the state of one text under its constraint, from canvas to canvas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redraft.errors import ConstraintUnsatisfiedError
from redraft.grammar.inference import CanvasInference, ClassWeights, Inference, infer, inference
from redraft.grammar.pace import run_paced
from redraft.grammar.reach import EdgeLayer, layers_from, work_of
from redraft.grammar.tokens.token_dfa import TokenDFA
from redraft.ops.vocabulary import Picked, TokenClasses

Ints = NDArray[np.int64]


class Guide:
    """The state of one text.

    Attributes:
        dfa: the compiled constraint.
        state: its state behind all committed tokens.
        tokens_left: the number of tokens that may still be written.
    """

    def __init__(self, dfa: TokenDFA, tokens_left: int) -> None:
        self.dfa = dfa
        self.state = dfa.start
        self.tokens_left = tokens_left

    @classmethod
    def checked(
        cls, dfa: TokenDFA, tokens_left: int, length: int, frozen: Mapping[int, int]
    ) -> Guide:
        """Build the guide of a new text, and check that a valid text exists.

        Args:
            length: the positions of a canvas.
            frozen: position -> token, the frozen tokens of the first canvas.

        Raises:
            ConstraintUnsatisfiedError: the shortest text is too long, or the frozen tokens admit
                no text.
        """
        guide = cls(dfa, tokens_left)
        if dfa.min_tokens > tokens_left:
            raise ConstraintUnsatisfiedError(
                f"the shortest text that the constraint admits has {dfa.min_tokens} tokens, "
                f"there is room for {tokens_left}: raise max_new_tokens"
            )
        canvas = guide.on_canvas(length, frozen)
        states = np.zeros(len(dfa.final), dtype=bool)
        states[guide.state] = True
        for token_class in canvas.frozen[: canvas.open].tolist():
            states = dfa.step(states, token_class)
        if not (states & canvas.ends).any():
            raise ConstraintUnsatisfiedError(
                "the frozen tokens leave no text that the constraint admits"
            )
        return guide

    def on_canvas(
        self, length: int, frozen: Mapping[int, int] | None = None, first: int = 0
    ) -> CanvasConstraint:
        """Return the constraint on the next `length` positions of the text.

        Args:
            frozen: position -> token, counted from the first of these positions.
            first: the position of the canvas at which they begin.

        Raises:
            ConstraintUnsatisfiedError: a frozen token is in no text that the constraint admits.
        """
        dfa = self.dfa
        classes = np.full(length, -1, dtype=np.int64)
        for at, token in (frozen or {}).items():
            if at >= self.tokens_left:
                continue  # behind the last token that may be written
            classes[at] = dfa.token_class[token]
            if classes[at] < 0:
                raise ConstraintUnsatisfiedError(
                    f"the frozen token {token} is in no text that the constraint admits"
                )
        # A canvas may end where the rest of the text has room; the last one only where it is over.
        is_last = self.tokens_left <= length
        ends = dfa.final if is_last else dfa.tokens_to_final <= self.tokens_left - length
        return CanvasConstraint(
            slice(first, first + length),
            dfa,
            self.state,
            min(length, self.tokens_left),
            classes,
            ends,
        )

    def allowed(self) -> NDArray[np.bool_]:
        """Return the tokens that may come next, bool [V]: behind each the text can be finished with
        the tokens that are left."""
        dfa = self.dfa
        here = dfa.transitions_from(self.state)
        here = here[dfa.tokens_to_final[dfa.transition_target[here]] < self.tokens_left]
        # One element more: tokens of class -1 read the last one, which stays False.
        usable = np.zeros(dfa.class_count + 1, dtype=bool)
        usable[dfa.transition_class[here]] = True
        found: NDArray[np.bool_] = usable[dfa.token_class]
        return found

    def advance(self, tokens: Iterable[int]) -> None:
        """Move the state behind tokens that were committed."""
        tokens = list(tokens)
        state = self.dfa.state_after(self.state, tokens)
        assert state is not None, "a committed token breaks the constraint"
        self.state, self.tokens_left = state, self.tokens_left - len(tokens)


@dataclass(frozen=True)
class CanvasConstraint:
    """The constraint on n positions of one canvas (an `ops.vocabulary.SpanConstraint`).

    Attributes:
        span: the positions of the canvas.
        start: the state before the first of them.
        open: how many of them the text may use; those behind are filled and nobody reads them.
        frozen: int64 [n], the token class of frozen positions, -1 elsewhere.
        ends: bool [Q], the states in which the open positions may end.
    """

    span: slice
    dfa: TokenDFA
    start: int
    open: int
    frozen: Ints
    ends: NDArray[np.bool_]
    _layers: list[tuple[EdgeLayer, ...]] = field(default_factory=list)  # one entry, once known

    @property
    def work(self) -> int:
        """Work of one inference at most, in edges (see `reach.work_of`)."""
        return work_of(self.dfa, self.open, self._layers[0] if self._layers else None)

    def classes(self, device: torch.device) -> TokenClasses:
        return self.dfa.vocabulary_classes(device)

    def pick(self, mass: Tensor, best: Tensor, uniform: Tensor, wanted: Tensor) -> Picked:
        """Infer the classes of the `wanted` positions (see `SpanConstraint.pick`)."""
        at = np.flatnonzero(wanted.cpu().numpy())
        weights = ClassWeights(self._scatter(mass, at), self._scatter(best, at), self.frozen)
        draws = np.full(len(self.frozen), 0.5)
        draws[at] = uniform.cpu().numpy()
        inner = run_paced(lambda: self._inference(weights[: self.open], draws[: self.open]))
        parts = [inner, *self._behind(weights, draws)]

        def column(name: str, dtype: torch.dtype) -> Tensor:
            values = np.concatenate([getattr(part, name) for part in parts])[at]
            return torch.from_numpy(values).to(mass.device, dtype)

        return Picked(
            marginals=column("marginals", torch.float32),
            best=column("best", torch.int64),
            sample=column("sample", torch.int64),
            uniform=column("uniform", torch.float64),
        )

    def _inference(self, weights: ClassWeights, draws: NDArray[np.float64]) -> Inference:
        """Infer the open positions, in pieces."""
        if not self._layers:
            self._layers.append((yield from layers_from(self.dfa, self.start, self.open)))
        return (
            yield from inference(self.dfa, weights, self.start, self.ends, draws, self._layers[0])
        )

    def _behind(self, weights: ClassWeights, draws: NDArray[np.float64]) -> list[CanvasInference]:
        """Infer the positions behind the open ones: they hold what may stand behind an end."""
        if self.open == len(self.frozen):
            return []
        ended = np.zeros(len(self.dfa.final), dtype=bool)
        ended[self.dfa.ended] = True
        behind = slice(self.open, None)
        return [infer(self.dfa, weights[behind], self.dfa.ended, ended, draws[behind])]

    def _scatter(self, values: Tensor, at: Ints) -> NDArray[np.float64]:
        """Scatter the rows [N, K] of the positions `at` into an array of all n positions; the
        others are zero."""
        scattered = np.zeros((len(self.frozen), self.dfa.class_count))
        scattered[at] = values.double().cpu().numpy()
        return scattered
