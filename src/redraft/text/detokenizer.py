"""Detokenizer: the text of growing token ids, without incomplete characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from redraft.text.growing_text import GrowingText
from redraft.text.reasoning import ReasoningChannel, Thoughts
from redraft.text.tokenizer import Tokenizer


class Detokenizer:
    """Turns growing token ids into growing text, and keeps the reasoning apart.

    A token may be a part of a character, or change how its neighbours decode. So all tokens are
    decoded each time, and an incomplete character at the end waits for more tokens.

    Args:
        prompt: the tokens before the text; a channel that they leave open goes on in it.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int] = ()) -> None:
        self._channel = ReasoningChannel.of(tokenizer)
        self._opened = self._channel.opened_in(prompt) if self._channel else None
        self._text = GrowingText(tokenizer)
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
            tokens = self._channel.split(tokens, opened=self._opened is not None)[1]
        return self._text.decode(tokens, last=last)

    def reasoning(self) -> str:
        """Return the text of the reasoning channel so far."""
        if self._channel is None:
            return ""
        found = Thoughts(self._text)
        opened = self._opened is not None
        thoughts = self._channel.split(self._tokens, opened=opened)[0]
        for number, thought in enumerate(thoughts):
            found.begin(self._opened or () if number == 0 else ())
            for token in thought:
                found.add(token)
        return found.text(last=True)
