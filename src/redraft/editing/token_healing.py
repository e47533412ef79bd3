"""Token healing: a hole that begins or ends inside a word.

Tokens do not end where a hole does: `pri<hole>(x)` wants the one token `print`, and of `x = <hole>`
the last space belongs to the token that follows it. So the text beside such a hole is written anew,
by one of the tokens that begin (behind the hole: end) with it: as many tokens of it as any one
token begins with. The text outside the hole stays as it was, and a word can be finished as the
model spells it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redraft.text.token_texts import TokenTexts

DEEPEST = 4  # tokens


@dataclass(frozen=True)
class Seam:
    """A border of a hole that one token writes anew.

    text: the text outside the hole that the token covers. count: tokens that it was before.
    allowed: tokens that it may be.
    """

    text: str
    count: int
    allowed: tuple[int, ...]


def before_hole(tokens: list[int], texts: TokenTexts) -> Seam | None:
    """Return the seam of the last of `tokens` with a hole behind them; None where they end a word.

    `texts` are those of all tokens.
    """
    text = _text(tokens[-1:], texts)
    if text == " " and not _text(tokens[-2:-1], texts)[-1:].isspace() and len(tokens) > 1:
        return _seam(tokens[-1:], texts, texts.starting)  # not where it indents a line
    if not _in_word(text[-1:]):
        return None
    found = (
        _seam(tokens[-count:], texts, texts.starting)
        for count in range(min(DEEPEST, len(tokens)), 0, -1)
    )
    return next((seam for seam in found if seam), None)


def behind_hole(tokens: list[int], texts: TokenTexts) -> Seam | None:
    """Return the seam of the first of `tokens` with a hole before them; None where they begin a
    word."""
    if not _in_word(_text(tokens[:1], texts)[:1]):
        return None
    found = (
        _seam(tokens[:count], texts, texts.ending)
        for count in range(min(DEEPEST, len(tokens)), 0, -1)
    )
    return next((seam for seam in found if seam), None)


def _seam(tokens: list[int], texts: TokenTexts, matches: Callable[[str], list[int]]) -> Seam | None:
    """Return the seam of these tokens; None where only they themselves would do."""
    text = _text(tokens, texts)
    allowed = matches(text) if text else []
    return Seam(text, len(tokens), tuple(allowed)) if allowed and allowed != tokens else None


def _text(tokens: list[int], texts: Sequence[str]) -> str:
    """Return the text of some tokens; empty where one of them has none of its own."""
    found = [texts[token] if token < len(texts) else "" for token in tokens]
    return "".join(found) if all(found) else ""


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_"
