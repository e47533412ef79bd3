"""Gemma's tool calls: `<|tool_call>call:NAME{key:value,...}<tool_call|>`.

Strings stand between quote tokens, without escapes; all else is bare text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from redraft.errors import RequestError
from redraft.text.json_value import Json
from redraft.text.tokenizer import Tokenizer

OPEN, CLOSE, QUOTE = "<|tool_call>", "<tool_call|>", '<|"|>'
CALL_PREFIX = "call:"
NUMBER = re.compile(r"-?[0-9]{1,300}(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,3})?")
WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "None": None}


@dataclass(frozen=True)
class ToolCall:
    """A call of one tool, by its name, with its arguments."""

    name: str
    arguments: dict[str, Json]


@dataclass(frozen=True)
class CallTokens:
    """The ids of the special tokens of tool calls."""

    open: int
    close: int
    quote: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> CallTokens:
        """Return the ids in a tokenizer's vocabulary.

        Raises:
            RequestError: the vocabulary lacks one of the tokens.
        """
        ids = [tokenizer.token_id(token) for token in (OPEN, CLOSE, QUOTE)]
        found = [token for token in ids if token is not None]
        if len(found) < len(ids):
            raise RequestError(
                f"this tokenizer has no tokens for tool calls ({OPEN}, {CLOSE}, {QUOTE})"
            )
        return cls(*found)


def tool_calls(tokens: Sequence[int], tokenizer: Tokenizer) -> list[ToolCall]:
    """Return the calls among the tokens of an answer.

    Raises:
        RequestError: a call is not valid; the message says what was expected.
    """
    ids = CallTokens.of(tokenizer)
    calls, at = [], 0
    while ids.open in tokens[at:]:
        first = tokens.index(ids.open, at) + 1
        if ids.close not in tokens[first:]:
            raise RequestError("a tool call has no end")
        at = tokens.index(ids.close, first)
        pieces = _bare_and_quoted(tokens[first:at], ids.quote, tokenizer)
        try:
            calls.append(_CallParser(pieces).call())
        except RecursionError:
            raise RequestError("a tool call is nested too deeply") from None
    return calls


def answer_and_calls(
    tokens: Sequence[int], tokenizer: Tokenizer
) -> tuple[list[int], list[ToolCall]]:
    """Split what a model wrote that could call tools, but did not have to.

    Returns:
        The tokens before the first call, and the calls up to the first that is not valid; all
        tokens, and no calls, where there is no valid one.
    """
    ids = CallTokens.of(tokenizer)
    starts = [at for at, token in enumerate(tokens) if token == ids.open]
    calls: list[ToolCall] = []
    for first, past in pairwise([*starts, len(tokens)]):
        try:
            calls += tool_calls(tokens[first:past], tokenizer)
        except RequestError:
            break
    return (list(tokens[: starts[0]]), calls) if calls else (list(tokens), [])


def _bare_and_quoted(tokens: Sequence[int], quote: int, tokenizer: Tokenizer) -> list[str]:
    """Return the pieces of a call: bare text at even indices, quoted text at odd ones."""
    pieces: list[list[int]] = [[]]
    for token in tokens:
        if token == quote:
            pieces.append([])
        else:
            pieces[-1].append(token)
    if len(pieces) % 2 == 0:
        raise RequestError("a string in a tool call has no end")
    return [tokenizer.decode(piece) for piece in pieces]


class _CallParser:
    """A recursive-descent parser of one call.

    Attributes:
        piece: the index of the bare piece that is read.
        at: the next character in it.
    """

    def __init__(self, pieces: list[str]) -> None:
        self.pieces = pieces
        self.piece, self.at = 0, 0

    def call(self) -> ToolCall:
        self.expect(CALL_PREFIX)
        name = self.until("{")
        arguments = self.members()
        if self.peek() is not None:
            raise self.error("the end")
        return ToolCall(name, arguments)

    def peek(self) -> str | None:
        """Return the next character, QUOTE where a string begins, None at the end."""
        if self.at < len(self.pieces[self.piece]):
            return self.pieces[self.piece][self.at]
        return QUOTE if self.piece + 1 < len(self.pieces) else None

    def error(self, expected: str) -> RequestError:
        return RequestError(
            f"a tool call cannot be read: {expected} expected, {self.peek() or 'its end'!r} found"
        )

    def expect(self, text: str) -> None:
        if not self.pieces[self.piece].startswith(text, self.at):
            raise self.error(repr(text))
        self.at += len(text)

    def until(self, ends: str) -> str:
        """Read bare text up to any of some characters."""
        start = self.at
        while (char := self.peek()) is not None and char != QUOTE and char not in ends:
            self.at += 1
        return self.pieces[self.piece][start : self.at]

    def value(self) -> Json:
        match self.peek():
            case "{":
                return self.members()
            case "[":
                return self.items()
            case None:
                raise self.error("a value")
        return self.string() if self.peek() == QUOTE else self.bare_value(self.until(",]}"))

    def string(self) -> str:
        text = self.pieces[self.piece + 1]
        self.piece, self.at = self.piece + 2, 0
        return text

    def bare_value(self, text: str) -> Json:
        if text in WORDS:
            return WORDS[text]
        if not NUMBER.fullmatch(text):
            raise self.error(f"a value in place of {text!r}")
        value = int(text) if text.lstrip("-").isdigit() else float(text)
        if value in (math.inf, -math.inf):
            raise self.error(f"a number in place of {text!r}")
        return value

    def members(self) -> dict[str, Json]:
        found: dict[str, Json] = {}
        self.expect("{")
        while self.peek() != "}":
            if found:
                self.expect(",")
            name = self.string() if self.peek() == QUOTE else self.until(":")
            self.expect(":")
            if name in found:
                raise self.error(f"another name than {name!r}")
            found[name] = self.value()
        self.expect("}")
        return found

    def items(self) -> list[Json]:
        found: list[Json] = []
        self.expect("[")
        while self.peek() != "]":
            if found:
                self.expect(",")
            found.append(self.value())
        self.expect("]")
        return found
