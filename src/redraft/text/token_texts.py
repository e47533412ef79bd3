"""Texts of all tokens, found by how they begin and end."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import cached_property


class TokenTexts(list[str]):
    """The text of each token, by its id; empty where a token has none of its own.

    The sorted orders are made at the first question, and kept: the list must not change.
    """

    def starting(self, text: str) -> list[int]:
        """Return the tokens whose text starts with a text that is not empty, ascending."""
        return _found(*self._ascending, text)

    def ending(self, text: str) -> list[int]:
        """Return the tokens whose text ends with a text that is not empty, ascending."""
        return _found(*self._reversed, text[::-1])

    @cached_property
    def _ascending(self) -> tuple[list[str], list[int]]:
        return _sorted(self)

    @cached_property
    def _reversed(self) -> tuple[list[str], list[int]]:
        return _sorted([text[::-1] for text in self])


def _sorted(texts: list[str]) -> tuple[list[str], list[int]]:
    order = sorted(range(len(texts)), key=texts.__getitem__)
    return [texts[token] for token in order], order


def _found(texts: list[str], tokens: list[int], start: str) -> list[int]:
    first = bisect_left(texts, start)
    after = bisect_right(texts, start, first, key=lambda text: text[: len(start)])
    return sorted(tokens[first:after])
