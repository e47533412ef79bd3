"""Gemma's tool calls: `<|tool_call>call:NAME{key:value,...}<tool_call|>`, strings between quote
tokens, all else bare."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from redraft.errors import RequestError
from redraft.text.tokenizer import Tokenizer

NUMBER = re.compile(r"-?[0-9]{1,300}(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,3})?")
OPEN, CLOSE, QUOTE = "<|tool_call>", "<tool_call|>", '<|"|>'


@dataclass(frozen=True)
class ToolCall:
    """One call: the tool's name, and its arguments."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class CallTokens:
    """The special tokens of tool calls."""

    open: int
    close: int
    quote: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> CallTokens:
        """Those of a tokenizer.

        Raises:
            RequestError: it lacks one of them.
        """
        found = [tokenizer.token_id(token) for token in (OPEN, CLOSE, QUOTE)]
        if any(token is None for token in found):
            raise RequestError(
                f"this tokenizer has no tokens for tool calls ({OPEN}, {CLOSE}, {QUOTE})"
            )
        return cls(*(token for token in found if token is not None))


def tool_calls(tokens: Sequence[int], tokenizer: Tokenizer) -> list[ToolCall]:
    """The calls among the tokens of an answer.

    Raises:
        RequestError: one of them cannot be read; the message says where.
    """
    marks = CallTokens.of(tokenizer)
    calls, at = [], 0
    while marks.open in tokens[at:]:
        first = tokens.index(marks.open, at) + 1
        if marks.close not in tokens[first:]:
            raise RequestError("a tool call has no end")
        at = tokens.index(marks.close, first)
        try:
            calls.append(_Reader(_parts(tokens[first:at], marks.quote, tokenizer)).call())
        except RecursionError:
            raise RequestError("a tool call is nested too deeply") from None
    return calls


def answer_and_calls(
    tokens: Sequence[int], tokenizer: Tokenizer
) -> tuple[list[int], list[ToolCall]]:
    """What a model wrote that was free to call: the tokens before its first call, and its calls up
    to the first that cannot be read; all of the tokens where there is none."""
    marks = CallTokens.of(tokenizer)
    starts = [at for at, token in enumerate(tokens) if token == marks.open]
    calls: list[ToolCall] = []
    for first, past in pairwise([*starts, len(tokens)]):
        try:
            calls += tool_calls(tokens[first:past], tokenizer)
        except RequestError:
            break
    return (list(tokens[: starts[0]]), calls) if calls else (list(tokens), [])


def _parts(tokens: Sequence[int], quote: int, tokenizer: Tokenizer) -> list[str]:
    """Bare text and, at every other place, what stands between quotes."""
    parts: list[list[int]] = [[]]
    for token in tokens:
        if token == quote:
            parts.append([])
        else:
            parts[-1].append(token)
    if not len(parts) % 2:
        raise RequestError("a string in a tool call has no end")
    return [tokenizer.decode(part) for part in parts]


class _Reader:
    """Reads one call from its parts, bare ones and strings in turns."""

    def __init__(self, parts: list[str]) -> None:
        self.parts = parts
        self.part, self.at = 0, 0

    def call(self) -> ToolCall:
        self.expect("call:")
        name = self.until("{")
        arguments = self.members()
        if self.peek() is not None:
            raise self.error("the end")
        return ToolCall(name, arguments)

    def peek(self) -> str | None:
        """The next character of a bare part, a quote where a string begins, None at the end."""
        if self.at < len(self.parts[self.part]):
            return self.parts[self.part][self.at]
        return QUOTE if self.part + 1 < len(self.parts) else None

    def error(self, wanted: str) -> RequestError:
        return RequestError(
            f"a tool call cannot be read: {wanted} expected, {self.peek() or 'its end'!r} found"
        )

    def expect(self, text: str) -> None:
        if not self.parts[self.part].startswith(text, self.at):
            raise self.error(repr(text))
        self.at += len(text)

    def until(self, ends: str) -> str:
        """Bare text up to any of some characters."""
        start = self.at
        while (char := self.peek()) is not None and char != QUOTE and char not in ends:
            self.at += 1
        return self.parts[self.part][start : self.at]

    def value(self) -> Any:
        match self.peek():
            case "{":
                return self.members()
            case "[":
                return self.items()
            case None:
                raise self.error("a value")
        if self.peek() == QUOTE:
            text = self.parts[self.part + 1]
            self.part, self.at = self.part + 2, 0
            return text
        return self.bare(self.until(",]}"))

    def bare(self, text: str) -> Any:
        known = {"true": True, "false": False, "null": None, "None": None}
        if text in known:
            return known[text]
        if not NUMBER.fullmatch(text):
            raise self.error(f"a value in place of {text!r}")
        value = int(text) if text.lstrip("-").isdigit() else float(text)
        if value in (math.inf, -math.inf):
            raise self.error(f"a number in place of {text!r}")
        return value

    def members(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.expect("{")
        while self.peek() != "}":
            if found:
                self.expect(",")
            name = self.value() if self.peek() == QUOTE else self.until(":")
            self.expect(":")
            if name in found:
                raise self.error(f"another name than {name!r}")
            found[name] = self.value()
        self.expect("}")
        return found

    def items(self) -> list[Any]:
        found: list[Any] = []
        self.expect("[")
        while self.peek() != "]":
            if found:
                self.expect(",")
            found.append(self.value())
        self.expect("]")
        return found
