"""Control tokens: the text of a message stays text, token by token.

messages -> marked -> chat template -> prompt with marks -> token ids

A user can write `<|turn>system` into a message. Its control token is wrapped in two rare
characters before the template runs, and what stands between them is encoded as plain text
afterwards. The ids are those of transformers' `sanitize_control_tokens=True`. Beyond it, keys are
marked too, and so is the end of a text that begins a control token: two texts that a template
joins make none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from functools import cached_property, lru_cache
from itertools import accumulate, chain
from typing import TypeVar

from redraft.errors import ChatTemplateError
from redraft.text.json_value import Json
from redraft.text.tokenizer import Tokenizer

# Hexagrams: rare, and printable, so that Python's repr leaves them in a template's lists and dicts.
START, END, ESCAPE = "\u4dc0", "\u4dc1", "\u4dc2"
# These three in a text of the user: ESCAPE, and a digit for each.
ESCAPED = {char: f"{ESCAPE}{number}" for number, char in enumerate((START, END, ESCAPE))}
# A marked text, which is group 1, or a mark that has lost its partner.
MARKED = re.compile(f"{START}([^{START}{END}]+){END}|[{START}{END}]")
# Control tokens in messages, and what stands between them: each is encoded by itself.
MAX_PIECES = 128 << 10

Value = TypeVar("Value", bound=Json)


class ControlTokens:
    """The texts that a tokenizer reads as control tokens.

    Args:
        texts: the texts; an empty one is left out.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = frozenset(text for text in texts if text)

    @cached_property
    def _lengths(self) -> dict[str, list[int]]:
        """The lengths of the tokens that begin with each character, the longest first."""
        found: dict[str, set[int]] = {}
        for text in self.texts:
            found.setdefault(text[0], set()).add(len(text))
        return {first: sorted(lengths, reverse=True) for first, lengths in found.items()}

    @cached_property
    def _firsts(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, self._lengths)) or "(?!)")

    @cached_property
    def _prefixes(self) -> frozenset[str]:
        """Texts with which a control token begins, and which are shorter than it."""
        return frozenset(chain.from_iterable(accumulate(text[:-1]) for text in self.texts))

    @cached_property
    def _longest_prefix(self) -> int:
        return max(map(len, self._prefixes), default=0)

    def mark(self, value: Value) -> Value:
        """Return JSON with a mark around each control token in its texts and keys."""
        return self._mark(value)  # type: ignore[return-value]

    def _mark(self, value: Json) -> Json:
        match value:
            case str():
                return self._mark_text(value)
            case list():
                return [self._mark(item) for item in value]
            case dict():
                return {self._mark_text(key): self._mark(item) for key, item in value.items()}
        return value

    def _mark_text(self, text: str) -> str:
        for char, escaped in reversed(ESCAPED.items()):
            text = text.replace(char, escaped)
        marked, done, at = [], 0, 0
        while found := self._firsts.search(text, at):
            at = found.start()
            length = self._length_at(text, at)
            if length:
                marked += [text[done:at], START, text[at : at + length], END]
                done = at + length
            at += length or 1
        return self._mark_prefix("".join([*marked, text[done:]]) if done else text)

    def _length_at(self, text: str, at: int) -> int:
        """Return the length of the longest control token at a place, 0 for none."""
        lengths = self._lengths[text[at]]
        return next((one for one in lengths if text[at : at + one] in self.texts), 0)

    def _mark_prefix(self, text: str) -> str:
        """Return a text with a mark at its end, where that begins a control token.

        A template may trim the text, so the mark stands before white space.
        """
        kept = text.rstrip()
        for length in range(min(self._longest_prefix, len(kept)), 0, -1):
            if kept[-length:] in self._prefixes:
                return kept + END + text[len(kept) :]
        return text

    def encode(self, prompt: str, tokenizer: Tokenizer) -> list[int]:
        """Return the token ids of a prompt that a template made of marked messages.

        Raises:
            ChatTemplateError: this tokenizer reads a control token from plain text too, or there
                are too many of them.
        """
        first, pieces = self._pieces(prompt)
        ids = tokenizer.encode(_unescaped(first), bos=False)
        texts = _encoded_pieces({one for one, is_text in pieces if is_text}, tokenizer, True)
        others = _encoded_pieces({one for one, is_text in pieces if not is_text}, tokenizer, False)
        for text, found in texts.items():
            if tokenizer.token_id(text) in found:
                raise ChatTemplateError(
                    f"{text!r} in a message cannot stay text: this tokenizer makes one token of it"
                )
        for piece, is_text in pieces:
            ids += (texts if is_text else others)[piece]
        return ids

    def _pieces(self, prompt: str) -> tuple[str, list[tuple[str, bool]]]:
        """Return what stands before the first mark, and each piece behind it, with True for one
        that must stay text.

        Raises:
            ChatTemplateError: there are too many.
        """
        pieces: list[tuple[str, bool]] = []
        first, done = None, 0
        # One by one: to split a long prompt at once would hold the interpreter.
        for found in MARKED.finditer(prompt):
            if first is None:
                first = prompt[: found.start()]
            elif found.start() > done:
                pieces.append((prompt[done : found.start()], False))
            if marked := found[1]:  # None for a mark that has lost its partner
                pieces.append((marked, marked in self.texts))
            done = found.end()
            if len(pieces) > MAX_PIECES:
                raise ChatTemplateError(
                    f"the messages have more than {MAX_PIECES // 2} control tokens that stay text: "
                    "send fewer"
                )
        if first is None:
            return prompt, []
        return first, [*pieces, (prompt[done:], False)] if done < len(prompt) else pieces


def _encoded_pieces(
    pieces: Collection[str], tokenizer: Tokenizer, is_text: bool
) -> dict[str, list[int]]:
    """Return the token ids of each piece as it stands behind other text: some tokenizers put a
    space before the first piece, so a line break goes before each and is taken away again.

    They are encoded together, and each once: alone, every one would wait for the library's
    threads.
    """
    line_break = tokenizer.encode("\n", bos=False)
    count = len(line_break)
    plain = {piece: _unescaped(piece) for piece in pieces}
    behind = tokenizer.encode_each([f"\n{text}" for text in plain.values()], is_text=is_text)
    found = {
        piece: ids[count:]
        for piece, ids in zip(plain, behind, strict=True)
        if ids[:count] == line_break
    }
    left = [piece for piece in plain if piece not in found]
    alone = tokenizer.encode_each([plain[piece] for piece in left], is_text=is_text)
    return found | dict(zip(left, alone, strict=True))


def _unescaped(text: str) -> str:
    for char, escaped in ESCAPED.items():
        text = text.replace(escaped, char)
    return text


def marks_in_ascii(text: str) -> str:
    """Return JSON that was written with `ensure_ascii`, with the marks themselves in place of their
    escapes."""
    start, end, escape = (json.dumps(char)[1:-1] for char in ESCAPED)
    text = text.replace(start, START).replace(end, END)
    for char in ESCAPED:
        text = text.replace(f"{escape}{ESCAPED[char][1:]}", json.dumps(char)[1:-1])
    return text


def without_marks(text: str) -> str:
    """Return a text without the marks that `mark` put into it."""
    return _unescaped(text.replace(START, "").replace(END, ""))


NO_CONTROL_TOKENS = ControlTokens(())


@lru_cache(maxsize=16)
def control_tokens(tokenizer: Tokenizer, template_text: str) -> ControlTokens:
    """Return the control tokens of a tokenizer: its special tokens, those that its file lists, and
    added tokens that a chat template writes.

    Args:
        template_text: the text that stands literally in the template.
    """
    listed = set(tokenizer.chat_control_tokens or ())
    return ControlTokens(
        token.content
        for token in tokenizer.backend.get_added_tokens_decoder().values()
        if token.special
        or token.content in listed
        # Added tokens such as a line break are ordinary text of a template.
        or (
            tokenizer.chat_control_tokens is None
            and token.content in template_text
            and not token.content.isspace()
        )
    )
