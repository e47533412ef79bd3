"""Token transitions: from a DFA over bytes, the next state of every token in every state.

A token is a function of states: from each, the state that its bytes lead to. Tokens with the same
function are one class. A vocabulary of a quarter of a million tokens has hundreds of classes. All
tokens are read at once, one byte a step; the composition of a function and a byte is computed once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from redraft.grammar.budget import spend
from redraft.grammar.language.columns import unique_columns
from redraft.grammar.language.dfa import distinct_columns
from redraft.grammar.language.minimise import DEAD
from redraft.grammar.tokens.utf8 import ByteDFA

Ints = NDArray[np.int64]
# A partial function of states: where it is defined, ascending, and its values.
StateFunction = tuple[Ints, Ints]
UNKNOWN = -2  # a composition that was not computed yet


class VocabularyBytes:
    """The bytes of all tokens, as arrays.

    Attributes:
        size: the number of tokens, V.
        spelled: the ids of tokens that have bytes; special tokens have none.
        tokens: int64 [N], the same ids, the longest token first.
        lengths: int64 [N], the number of bytes of each.
        bytes: uint8 [longest, N], padded with 0.
    """

    def __init__(self, token_bytes: Sequence[bytes | None]) -> None:
        """Args: token_bytes: the bytes of each token id, None for tokens without text."""
        self.size = len(token_bytes)
        self.spelled = frozenset(token for token, text in enumerate(token_bytes) if text)
        ordered = sorted((len(text), token) for token, text in enumerate(token_bytes) if text)
        ordered.reverse()
        self.tokens = np.array([token for _, token in ordered], dtype=np.int64)
        self.lengths = np.array([length for length, _ in ordered], dtype=np.int64)
        longest = ordered[0][0] if ordered else 0
        padded = b"".join((token_bytes[token] or b"").ljust(longest, b"\0") for _, token in ordered)
        table = np.frombuffer(padded, dtype=np.uint8).reshape(len(ordered), longest)
        self.bytes = np.ascontiguousarray(table.T)


class TokenTransitions:
    """The transition functions of all tokens.

    Attributes:
        token_class: int64 [V], the class of each token, -1 for tokens that lead nowhere.
        functions: the function of each class.
    """

    def __init__(self, dfa: ByteDFA, vocabulary: VocabularyBytes) -> None:
        # Bytes with equal columns of the table are one class of bytes.
        self._table, self._byte_class = distinct_columns(dfa.table)
        self._numbers: dict[tuple[bytes, bytes], int] = {}
        self._functions: list[StateFunction] = []
        # int64 [functions, classes of bytes], the number of the function with one byte more.
        self._after = np.empty((0, self._table.shape[1]), dtype=np.int64)
        states = np.arange(len(dfa.table), dtype=np.int64)
        found = self._read(vocabulary, self._number((states, states)))
        used, classes = np.unique(found[found >= 0], return_inverse=True)
        self.token_class = np.full(vocabulary.size, -1, dtype=np.int64)
        self.token_class[vocabulary.tokens[found >= 0]] = classes
        self.functions = [self._functions[number] for number in used.tolist()]

    def _read(self, vocabulary: VocabularyBytes, identity: int) -> Ints:
        """Return the number of each token's function, DEAD for tokens that lead nowhere."""
        found = np.full(len(vocabulary.tokens), identity, dtype=np.int64)
        depths = np.arange(len(vocabulary.bytes))
        # Tokens are in order of length, so those longer than a depth are the first ones.
        counts = np.searchsorted(-vocabulary.lengths, -depths)
        for column, count in zip(vocabulary.bytes, counts.tolist(), strict=True):
            alive = np.flatnonzero(found[:count] >= 0)
            now, classes = found[alive], self._byte_class[column[alive]]
            after = self._after[now, classes]
            unknown = after == UNKNOWN
            if unknown.any():
                missing, _ = unique_columns(np.stack([now[unknown], classes[unknown]]))
                for function, byte_class in missing.T.tolist():
                    self._compose(function, byte_class)
                after = self._after[now, classes]
            found[alive] = after
        return found

    def _compose(self, function: int, byte_class: int) -> None:
        """Compute the function with one byte more, and note its number."""
        states, reached = self._functions[function]
        spend(1 + len(states) // 8, held=1 + len(states) // 3)
        following = self._table[reached, byte_class]
        alive = following != DEAD
        number = DEAD
        if alive.any():
            number = self._number((states[alive], following[alive].astype(np.int64)))
        self._after[function, byte_class] = number

    def _number(self, function: StateFunction) -> int:
        """Return the number of a function; a new one gets the next."""
        key = function[0].tobytes(), function[1].tobytes()
        if key not in self._numbers:
            number = self._numbers[key] = len(self._functions)
            self._functions.append(function)
            if number >= len(self._after):
                count = max(64, len(self._after))
                more = np.full((count, self._after.shape[1]), UNKNOWN, dtype=np.int64)
                self._after = np.concatenate([self._after, more])
        return self._numbers[key]
