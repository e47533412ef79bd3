"""Seams: a hole that begins or ends inside a word.

Tokens do not end where a hole does: `pri<hole>(x)` wants the one token `print`, and of `x = <hole>` the last space belongs to
the token that follows it. So the token beside such a hole is written anew, by one of all the tokens that begin (behind the
hole: end) with its text. What stands outside the hole stays as it was, and a word can be finished as the model spells it.
"""

from __future__ import annotations

from dataclasses import dataclass

from redraft.text import Tokenizer


@dataclass(frozen=True)
class Seam:
    """A token that is written anew. text: what of it stands outside the hole. allowed: the tokens that it may be."""

    text: str
    allowed: tuple[int, ...]


def before_hole(tokens: list[int], tokenizer: Tokenizer) -> Seam | None:
    """The seam that the last of `tokens` makes with a hole behind it; None where it ends a word."""
    text = _text(tokens[-1:], tokenizer)
    if not text or not (text[-1] == " " or _in_word(text[-1])):
        return None
    return _seam(text, [token for token, other in enumerate(tokenizer.texts) if other.startswith(text)])


def behind_hole(tokens: list[int], tokenizer: Tokenizer) -> Seam | None:
    """The seam that the first of `tokens` makes with a hole before it; None where it begins a word."""
    text = _text(tokens[:1], tokenizer)
    if not text or not _in_word(text[0]):
        return None
    return _seam(text, [token for token, other in enumerate(tokenizer.texts) if other.endswith(text)])


def _text(tokens: list[int], tokenizer: Tokenizer) -> str:
    return "".join(tokenizer.texts[token] for token in tokens if token < len(tokenizer.texts))


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _seam(text: str, allowed: list[int]) -> Seam | None:
    return Seam(text, tuple(allowed)) if len(allowed) > 1 else None
