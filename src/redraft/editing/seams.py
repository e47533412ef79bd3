"""Seams: a hole that begins or ends inside a word.

Tokens do not end where a hole does: `pri<hole>(x)` wants the one token `print`, and of `x = <hole>` the last space belongs to
the token that follows it. So what stands beside such a hole is written anew, by one of all the tokens that begin (behind the
hole: end) with its text: as many tokens of it as any one token begins with. What stands outside the hole stays as it was, and
a word can be finished as the model spells it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from redraft.text import Tokenizer

DEEPEST = 4  # tokens


@dataclass(frozen=True)
class Seam:
    """What is written anew by one token. text: what of it stands outside the hole, as `count` tokens until now. allowed: the
    tokens that it may be."""

    text: str
    count: int
    allowed: tuple[int, ...]


def before_hole(tokens: list[int], tokenizer: Tokenizer) -> Seam | None:
    """The seam that the last of `tokens` make with a hole behind them; None where they end a word."""
    text = _text(tokens[-1:], tokenizer)
    if not text or not (text[-1] == " " or _in_word(text[-1])):
        return None
    return _deepest(lambda count: tokens[-count:], len(tokens), tokenizer, str.startswith)


def behind_hole(tokens: list[int], tokenizer: Tokenizer) -> Seam | None:
    """The seam that the first of `tokens` make with a hole before them; None where they begin a word."""
    text = _text(tokens[:1], tokenizer)
    if not text or not _in_word(text[0]):
        return None
    return _deepest(lambda count: tokens[:count], len(tokens), tokenizer, str.endswith)


def _deepest(
    take: Callable[[int], list[int]], length: int, tokenizer: Tokenizer, matches: Callable[[str, str], bool]
) -> Seam | None:
    """The seam of most tokens for which there is another token."""
    for count in range(min(DEEPEST, length), 0, -1):
        text = _text(take(count), tokenizer)
        allowed = [token for token, other in enumerate(tokenizer.texts) if matches(other, text)] if text else []
        if allowed and allowed != take(count):
            return Seam(text, count, tuple(allowed))
    return None


def _text(tokens: list[int], tokenizer: Tokenizer) -> str:
    """The text of some tokens; empty where one of them has none of its own."""
    texts = [tokenizer.texts[token] if token < len(tokenizer.texts) else "" for token in tokens]
    return "".join(texts) if all(texts) else ""


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_"
