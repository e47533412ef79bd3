"""Detokenizer: text as it grows, never a broken character in it."""

from __future__ import annotations

from collections.abc import Iterable

from redraft.text.reasoning import ReasoningChannel, without_label
from redraft.text.tokenizer import BROKEN, Tokenizer


class Detokenizer:
    """Turns growing token ids into growing text, the reasoning channel apart.

    A token may hold part of a character, or change how its neighbours decode; so the whole is
    decoded anew, and an end that is not yet a character is held back until more tokens come.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._channel = ReasoningChannel.of(tokenizer)
        self._bytes = tokenizer.byte_tokens()
        self._special = tokenizer.special_tokens()
        self._tokens: list[int] = []

    def add(self, tokens: Iterable[int]) -> None:
        """Add tokens for good."""
        self._tokens.extend(tokens)

    def text(self, more: Iterable[int] = (), *, last: bool = False) -> str:
        """All text so far, and of `more` tokens behind it; `last` gives out an unfinished character
        too."""
        tokens = [*self._tokens, *more]
        if self._channel:
            tokens = self._channel.split(tokens)[1]
        tokens = [token for token in tokens if token not in self._special]
        # A run of byte tokens is decoded as one: until it is over, the next byte may make all of it
        # another text.
        while not last and tokens and tokens[-1] in self._bytes:
            tokens.pop()
        whole = self._tokenizer.decode(tokens)
        return whole if last else whole.rstrip(BROKEN)

    def reasoning(self) -> str:
        """What was written into the reasoning channel so far."""
        if self._channel is None:
            return ""
        thoughts = self._channel.split(self._tokens)[0]
        return "\n".join(without_label(self._tokenizer.decode(thought)) for thought in thoughts)
