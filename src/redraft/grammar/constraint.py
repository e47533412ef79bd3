"""Constraint: what a text must be. Built from a pattern, a schema or a grammar, compiled once for a
vocabulary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Collection, Hashable, Sequence
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from redraft.errors import ConstraintError
from redraft.grammar.language.dfa import DFA
from redraft.grammar.tokens.token_dfa import TokenDFA
from redraft.grammar.tokens.token_transitions import Spelling
from redraft.text import Tokenizer
from redraft.text.token_bytes import token_bytes

KEPT = 64  # compiled constraints of a vocabulary, those used last
MOST_KEPT = 8_000_000  # transitions of all of them: some 200 MB


class Constraint(ABC):
    """A set of texts. Equal keys are equal sets.

    Attributes:
        marked: whether its texts hold special tokens, so that they are more than their characters.

    Raises, when built:
        ConstraintError: it cannot be used; the message names the place.
    """

    marked = False

    @property
    @abstractmethod
    def key(self) -> Hashable:
        """What it was built from."""

    @abstractmethod
    def language(self, tokenizer: Tokenizer) -> DFA:
        """Its texts, with special tokens where they have any."""

    def parse(self, text: str, tokens: Sequence[int], tokenizer: Tokenizer) -> Any:
        """What a finished text of some tokens says; the text itself, unless a subclass knows
        more."""
        return text

    def compiled(
        self, tokenizer: Tokenizer, ends: Collection[int], pad: int, size: int
    ) -> TokenDFA | None:
        """As tokens of a vocabulary of `size`; None where every token sequence is such a text. Kept
        for the next time.

        Raises:
            ConstraintError, ConstraintUnsatisfiedError: no text can be written with it.
        """
        key = type(self), self.key, tuple(ends), pad, size
        with _lock:
            kept = _compiled.setdefault(tokenizer, OrderedDict())
            if key in kept:
                kept.move_to_end(key)
                return kept[key]
        found = self._compiled(tokenizer, ends, pad, size)
        with _lock:
            kept[key] = found
            while len(kept) > 1 and (
                len(kept) > KEPT or sum(one.size for one in kept.values() if one) > MOST_KEPT
            ):
                kept.popitem(last=False)
        return found

    def _compiled(
        self, tokenizer: Tokenizer, ends: Collection[int], pad: int, size: int
    ) -> TokenDFA | None:
        language = self.language(tokenizer)
        if language.universal:
            return None
        spelling = _spellings.get(tokenizer) or Spelling(token_bytes(tokenizer))
        _spellings[tokenizer] = spelling
        if words := sorted(set(ends) & spelling.spelled):
            raise ConstraintError(
                f"token {words[0]} is text: it cannot end one under a constraint (see eos_token_id)"
            )
        if not any(token < size for token in ends):
            raise ConstraintError(
                f"a text needs a token that ends it: of {tuple(ends)} none is in the vocabulary of {size}"
            )
        return TokenDFA.of(language, spelling, ends, {pad} - spelling.spelled, size)


_lock = Lock()
_compiled: WeakKeyDictionary[Tokenizer, OrderedDict[Hashable, TokenDFA | None]] = (
    WeakKeyDictionary()
)
_spellings: WeakKeyDictionary[Tokenizer, Spelling] = WeakKeyDictionary()
