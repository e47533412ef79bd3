"""Constraint: the set of texts that an answer may be, compiled once for a vocabulary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Collection, Hashable, Sequence
from functools import cached_property
from threading import Lock
from weakref import WeakKeyDictionary

from redraft.grammar.budget import budgeted
from redraft.grammar.job import Job, compiled, is_elsewhere
from redraft.grammar.language.dfa import DFA
from redraft.grammar.tokens.lexicon import lexicon_of
from redraft.grammar.tokens.token_dfa import TokenDFA
from redraft.text import Tokenizer
from redraft.text.tokenizer import TokenIds

# Compiled constraints that are kept for each tokenizer, the last used ones ...
MAX_CACHED = 64
# ... and their transitions together, which take some 200 MB.
MAX_CACHED_TRANSITIONS = 8_000_000


class Constraint(ABC):
    """A set of texts. Constraints of one class with equal keys are equal sets.

    Attributes:
        has_special_tokens: True where its texts contain special tokens, not only characters.
        can_be_cut: True where a text may also end at a stop string.

    Raises, when it is built:
        ConstraintError: it cannot be used; the message names the place.
    """

    has_special_tokens = False

    @property
    def can_be_cut(self) -> bool:
        return False

    @property
    @abstractmethod
    def key(self) -> Hashable:
        """The arguments that it was built from."""

    @abstractmethod
    def character_dfa(self, tokenizer: TokenIds) -> DFA:
        """Return the DFA of its texts, over characters and, where it has any, special tokens."""

    def parse(self, text: str, tokens: Sequence[int], tokenizer: Tokenizer) -> object:
        """Return the value of a finished text: the text itself, unless a subclass reads it."""
        return text

    @budgeted
    def compile(
        self, tokenizer: Tokenizer, eos_ids: Collection[int], pad_id: int, vocab_size: int
    ) -> TokenDFA | None:
        """Return the token DFA of a vocabulary, from the cache where it was compiled before.

        Args:
            eos_ids: tokens that end a text.
            pad_id: a token that may also stand behind the end.

        Returns:
            None where every token sequence is a valid text.

        Raises:
            ConstraintError: an end token is text, or the DFA is too large.
            ConstraintUnsatisfiedError: no tokens spell any of its texts.
        """
        key = type(self), self.key, tuple(eos_ids), pad_id, vocab_size
        with _lock:
            cache = _caches.setdefault(tokenizer, OrderedDict())
            if key in cache:
                cache.move_to_end(key)
                return cache[key]
        job = Job(self, tuple(eos_ids), pad_id, vocab_size)
        found = compiled(job, lexicon_of(tokenizer))
        with _lock:
            cache[key] = found
            while len(cache) > 1 and _is_full(cache):
                cache.popitem(last=False)
        return found


class TextConstraint(Constraint):
    """A constraint whose texts hold characters only, so that they depend on no vocabulary."""

    @abstractmethod
    def build(self) -> DFA:
        """Compile the texts."""

    @cached_property
    def dfa(self) -> DFA:
        """The DFA of the texts."""
        return self.build()

    def check(self) -> None:
        """Compile the texts now, so that what is wrong is raised where the constraint is built."""
        if not is_elsewhere():
            self.character_dfa(None)

    def character_dfa(self, tokenizer: TokenIds | None) -> DFA:
        return self.dfa


Cache = OrderedDict[Hashable, TokenDFA | None]
_lock = Lock()
_caches: WeakKeyDictionary[Tokenizer, Cache] = WeakKeyDictionary()


def _is_full(cache: Cache) -> bool:
    transitions = sum(dfa.size for dfa in cache.values() if dfa)
    return len(cache) > MAX_CACHED or transitions > MAX_CACHED_TRANSITIONS
