"""From bytes to tokens: which tokens are alike to an automaton, and where each leads from each
state.

A token is a function of states: where its bytes lead from each. Tokens of the same function are one
class; there are hundreds of these where there are a quarter of a million tokens. All tokens are
read at once, a byte at a time; functions that were met before are looked up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from redraft.grammar.language.dfa import DEAD
from redraft.grammar.tokens.utf8 import ByteDFA

Ints = NDArray[np.int64]
Function = tuple[Ints, Ints]  # states, ascending, and where each leads
UNKNOWN = -2


class Spelling:
    """The bytes of a vocabulary, as arrays.

    Attributes:
        size: tokens of the vocabulary. spelled: those that have bytes.
        tokens: int64 [N], the same, the longest first. bytes: uint8 [longest, N]. lengths: int64
            [N].
    """

    def __init__(self, spelled: Sequence[bytes | None]) -> None:
        self.size = len(spelled)
        self.spelled = frozenset(number for number, text in enumerate(spelled) if text)
        texts = sorted((len(text), number) for number, text in enumerate(spelled) if text)[::-1]
        self.tokens = np.array([number for _, number in texts], dtype=np.int64)
        self.lengths = np.array([length for length, _ in texts], dtype=np.int64)
        longest = texts[0][0] if texts else 0
        padded = b"".join((spelled[number] or b"").ljust(longest, b"\0") for _, number in texts)
        self.bytes = np.ascontiguousarray(
            np.frombuffer(padded, dtype=np.uint8).reshape(len(texts), longest).T
        )


class Lift:
    """The functions of all tokens.

    Attributes:
        classes: int64 [V], the class of each token, -1 for those that lead nowhere.
        functions: of each class.
    """

    def __init__(self, automaton: ByteDFA, spelling: Spelling) -> None:
        columns, self._kinds = np.unique(automaton.table, axis=1, return_inverse=True)
        self._kinds = self._kinds.reshape(-1)
        self._table = columns
        self._found: dict[tuple[bytes, bytes], int] = {}
        self._functions: list[Function] = []
        states = np.arange(len(automaton.table), dtype=np.int64)
        self._after = np.empty((0, columns.shape[1]), dtype=np.int64)  # [functions, kinds of bytes]
        identity = self._number((states, states))
        met = self._read(spelling, identity)
        used, numbers = np.unique(met[met >= 0], return_inverse=True)
        self.classes = np.full(spelling.size, -1, dtype=np.int64)
        self.classes[spelling.tokens[met >= 0]] = numbers
        self.functions = [self._functions[number] for number in used.tolist()]

    def _read(self, spelling: Spelling, identity: int) -> Ints:
        """The number of each token's function, DEAD for none."""
        met = np.full(len(spelling.tokens), identity, dtype=np.int64)
        ends = np.searchsorted(
            -spelling.lengths, -np.arange(len(spelling.bytes))
        )  # how many are longer than each depth
        for column, count in zip(spelling.bytes, ends.tolist(), strict=True):
            alive = np.flatnonzero(met[:count] >= 0)
            now, kinds = met[alive], self._kinds[column[alive]]
            after = self._after[now, kinds]
            unknown = after == UNKNOWN
            if unknown.any():
                for function, kind in np.unique(
                    np.stack([now[unknown], kinds[unknown]]), axis=1
                ).T.tolist():
                    self._step(function, kind)
                after = self._after[now, kinds]
            met[alive] = after
        return met

    def _step(self, function: int, kind: int) -> None:
        states, reached = self._functions[function]
        following = self._table[reached, kind]
        alive = following != DEAD
        number = (
            self._number((states[alive], following[alive].astype(np.int64)))
            if alive.any()
            else DEAD
        )
        self._after[function, kind] = number

    def _number(self, function: Function) -> int:
        key = function[0].tobytes(), function[1].tobytes()
        if key not in self._found:
            number = self._found[key] = len(self._functions)
            self._functions.append(function)
            if number >= len(self._after):
                more = np.full(
                    (max(64, len(self._after)), self._after.shape[1]), UNKNOWN, dtype=np.int64
                )
                self._after = np.concatenate([self._after, more])
        return self._found[key]
