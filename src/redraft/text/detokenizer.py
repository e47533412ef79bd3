"""Detokenizer: the text of growing token ids, without incomplete characters."""

from __future__ import annotations

from collections.abc import Iterable

from redraft.text.reasoning import ReasoningChannel, without_label
from redraft.text.tokenizer import REPLACEMENT_CHARACTER, Tokenizer


class Detokenizer:
    """Turns growing token ids into growing text, and keeps the reasoning apart.

    A token may be a part of a character, or change how its neighbours decode. So all tokens are
    decoded each time, and an incomplete character at the end waits for more tokens.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._channel = ReasoningChannel.of(tokenizer)
        self._bytes = tokenizer.byte_tokens()
        self._special = tokenizer.special_tokens()
        self._tokens: list[int] = []

    def add(self, tokens: Iterable[int]) -> None:
        """Append tokens."""
        self._tokens.extend(tokens)

    def text(self, more: Iterable[int] = (), *, last: bool = False) -> str:
        """Return the text so far, without the reasoning.

        Args:
            more: tokens behind those that were added; they are not added.
            last: no more tokens will come, so an incomplete character at the end is part of it.
        """
        tokens = [*self._tokens, *more]
        if self._channel:
            tokens = self._channel.split(tokens)[1]
        tokens = [token for token in tokens if token not in self._special]
        # A run of byte tokens is decoded as one: one byte more may change the text of all of it.
        while not last and tokens and tokens[-1] in self._bytes:
            tokens.pop()
        text = self._tokenizer.decode(tokens)
        return text if last else text.rstrip(REPLACEMENT_CHARACTER)

    def reasoning(self) -> str:
        """Return the text of the reasoning channel so far."""
        if self._channel is None:
            return ""
        thoughts = self._channel.split(self._tokens)[0]
        return "\n".join(without_label(self._tokenizer.decode(thought)) for thought in thoughts)
