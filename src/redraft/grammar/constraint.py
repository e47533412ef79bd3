"""Constraint: what a text must be. Built from a pattern, a schema or a grammar, compiled once for a vocabulary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Collection, Hashable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from redraft.errors import ConstraintError, ConstraintUnsatisfiedError
from redraft.grammar.language.automaton import Automaton
from redraft.grammar.tokens.lift import Spelling
from redraft.grammar.tokens.transitions import TokenAutomaton
from redraft.text import Tokenizer
from redraft.text.token_bytes import token_bytes

KEPT = 64  # compiled constraints of a vocabulary, those used last


class Constraint(ABC):
    """A set of texts. Equal keys are equal sets.

    Raises, when built:
        ConstraintError: it cannot be used; the message names the place.
    """

    @property
    @abstractmethod
    def key(self) -> Hashable:
        """What it was built from."""

    @abstractmethod
    def language(self, tokenizer: Tokenizer) -> Automaton:
        """Its texts, with special tokens where they have any."""

    def parse(self, text: str, tokens: Sequence[int], tokenizer: Tokenizer) -> Any:
        """What a finished text of some tokens says; the text itself, unless a subclass knows more."""
        return text

    def compiled(self, tokenizer: Tokenizer, ends: Collection[int], pad: int, size: int) -> TokenAutomaton | None:
        """As tokens of a vocabulary of `size`; None where every token sequence is such a text. Kept for the next time.

        Raises:
            ConstraintError, ConstraintUnsatisfiedError: no text can be written with it.
        """
        kept = _compiled.setdefault(tokenizer, OrderedDict())
        key = type(self), self.key, tuple(ends), pad, size
        if key not in kept:
            kept[key] = self._compiled(tokenizer, ends, pad, size)
            if len(kept) > KEPT:
                kept.popitem(last=False)
        kept.move_to_end(key)
        return kept[key]

    def _compiled(self, tokenizer: Tokenizer, ends: Collection[int], pad: int, size: int) -> TokenAutomaton | None:
        language = self.language(tokenizer)
        if language.universal:
            return None
        if language.empty:
            raise ConstraintUnsatisfiedError("the constraint admits no text at all")
        if tokenizer not in _spellings:
            _spellings[tokenizer] = Spelling(token_bytes(tokenizer))
        return TokenAutomaton.of(language, _spellings[tokenizer], ends, [pad], size)


def as_constraint(given: Any) -> Constraint | None:
    """A Constraint as it is, and None; a pydantic model class as the JSON of its instances.

    Raises:
        ConstraintError: it is something else.
    """
    if given is None or isinstance(given, Constraint):
        return given
    if hasattr(given, "model_json_schema"):
        from redraft.grammar.schema import JsonSchema  # which is a Constraint itself

        return JsonSchema(given)
    raise ConstraintError(f"{given!r} is no constraint: give a Regex, Choice, JsonSchema or Grammar")


_compiled: WeakKeyDictionary[Tokenizer, OrderedDict[Hashable, TokenAutomaton | None]] = WeakKeyDictionary()
_spellings: WeakKeyDictionary[Tokenizer, Spelling] = WeakKeyDictionary()
