"""GrowingText: the text of tokens to which more tokens may come."""

from __future__ import annotations

from collections.abc import Iterable

from redraft.text.tokenizer import REPLACEMENT_CHARACTER, Tokenizer


class GrowingText:
    """Decodes tokens without special tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._special, self._raw = tokenizer.special_tokens(), tokenizer.byte_tokens()

    def decode(self, tokens: Iterable[int], *, last: bool) -> str:
        """Return the text of tokens.

        Args:
            last: False leaves out what more tokens can change: an incomplete character at the end.
        """
        kept = [token for token in tokens if token not in self._special]
        # A run of byte tokens is decoded as one: one byte more may change the text of all of it.
        while not last and kept and kept[-1] in self._raw:
            kept.pop()
        text = self._tokenizer.decode(kept)
        return text if last else text.rstrip(REPLACEMENT_CHARACTER)
