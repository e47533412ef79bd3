"""Parser of one tool call in Gemma's syntax, as models really write it.

`call:NAME{key:value,...}`: strings stand between quote tokens, without escapes. Models also write
white space, JSON's and Python's quotes, Python's constants, `=` for `:`, and a comma too many or,
behind a quoted string, too few. All of these have one reading. What has none is an error: no name
and no number is ever guessed. Of a member that comes twice the last value counts, as for readers of
JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from redraft.errors import RequestError
from redraft.text.json_value import Json

QUOTE = '<|"|>'
CALL_PREFIX = "call:"
NAME = re.compile(r"\w[\w.:/-]*")
# JSON's numbers. Python converts no more digits than these.
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,3999})(\.[0-9]{1,4000})?([eE][+-]?[0-9]{1,9})?")
WORDS: dict[str, bool | None] = {
    "true": True,
    "True": True,
    "false": False,
    "False": False,
    "null": None,
    "None": None,
}
SINGLE_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
# A member behind a quoted string needs no comma: its name can be nothing else.
MEMBER_START = re.compile(r"\s*\w+\s*[:=]")
SURROGATE = re.compile("[\ud800-\udfff]")
# Lists and objects within each other. The same everywhere, however deep Python's own stack is.
MAX_DEPTH = 100
STRINGS = json.JSONDecoder(strict=False)


@dataclass(frozen=True)
class ToolCall:
    """A call of one tool, by its name, with its arguments."""

    name: str
    arguments: dict[str, Json]


def parse_call(pieces: Sequence[str]) -> ToolCall:
    """Return the call that text spells.

    Args:
        pieces: bare text at even indices, quoted text at odd ones.

    Raises:
        RequestError: it is no call; the message says what was expected.
    """
    if len(pieces) % 2 == 0:
        raise RequestError("a string in a tool call has no end")
    return _CallParser(pieces).call()


class _CallParser:
    """A recursive-descent parser.

    Attributes:
        piece: the index of the bare piece that is read.
        at: the next character in it.
        depth: the number of lists and objects around the next character.
    """

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = pieces
        self.piece, self.at, self.depth = 0, 0, 0

    @property
    def bare(self) -> str:
        return self.pieces[self.piece]

    def call(self) -> ToolCall:
        if not (self.skip(CALL_PREFIX[:-1]) and self.skip(CALL_PREFIX[-1])):
            raise self.error(repr(CALL_PREFIX))
        self.skip_space()
        found = NAME.match(self.bare, self.at)
        if found is None:
            raise self.error("a name")
        self.at = found.end()
        arguments = self.members()
        self.skip_space()
        if self.peek() is not None:
            raise self.error("the end")
        return ToolCall(found[0], arguments)

    def peek(self) -> str | None:
        """Return the next character, QUOTE where a string begins, None at the end."""
        if self.at < len(self.bare):
            return self.bare[self.at]
        return QUOTE if self.piece + 1 < len(self.pieces) else None

    def error(self, expected: str) -> RequestError:
        return RequestError(
            f"a tool call cannot be read: {expected} expected, {self.peek() or 'its end'!r} found"
        )

    def skip_space(self) -> None:
        while self.at < len(self.bare) and self.bare[self.at].isspace():
            self.at += 1

    def skip(self, text: str) -> bool:
        """Skip white space, and `text` where it comes next; return True where it does."""
        self.skip_space()
        found = self.bare.startswith(text, self.at)
        self.at += len(text) if found else 0
        return found

    def expect(self, text: str) -> None:
        if not self.skip(text):
            raise self.error(repr(text))

    def until(self, ends: str) -> str:
        """Read bare text up to any of some characters."""
        start = self.at
        while (char := self.peek()) is not None and char != QUOTE and char not in ends:
            self.at += 1
        return self.bare[start : self.at].strip()

    def value(self) -> Json:
        self.skip_space()
        match self.peek():
            case "{":
                return self.members()
            case "[":
                return self.items()
            case "'" | '"' | '<|"|>':
                return self.string()
            case None:
                raise self.error("a value")
        return self.bare_value(self.until(",]}"))

    def string(self) -> str:
        match self.peek():
            case "'":
                return self.single_quoted()
            case '"':
                return self.double_quoted()
        text = self.pieces[self.piece + 1]
        self.piece, self.at = self.piece + 2, 0
        return text

    def double_quoted(self) -> str:
        """Read a JSON string; line breaks in it are read too."""
        try:
            text, self.at = STRINGS.raw_decode(self.bare, self.at)
        except ValueError as error:
            raise self.error("a string of JSON") from error
        return self.checked(text)

    def single_quoted(self) -> str:
        """Read a string between single quotes, with JSON's escapes and that of the quote."""
        found = SINGLE_QUOTED.match(self.bare, self.at)
        if found is None:
            raise self.error("a string between single quotes")
        escaped = re.sub(r"""\\.|\"""", _json_escape, found[1], flags=re.DOTALL)
        try:
            text = STRINGS.decode(f'"{escaped}"')
        except ValueError as error:
            raise self.error("a string between single quotes") from error
        self.at = found.end()
        return self.checked(text)

    def checked(self, text: str) -> str:
        if SURROGATE.search(text):
            raise RequestError("a tool call cannot be read: a string holds half a surrogate pair")
        return text

    def bare_value(self, text: str) -> Json:
        if text in WORDS:
            return WORDS[text]
        found = NUMBER.fullmatch(text)
        if found is None:
            raise self.error(f"a value in place of {text!r}")
        value = int(text) if found[2] is found[3] is None else float(text)
        if value in (math.inf, -math.inf):
            raise self.error(f"a number in place of {text!r}")
        return value

    def name(self) -> str:
        """Read the name of a member: quoted, or bare up to its colon."""
        self.skip_space()
        if self.peek() in ("'", '"', QUOTE):
            return self.string()
        name = self.until(":={}[],\"'<>")
        if not name or "\n" in name:
            raise self.error("a name")
        return name

    def enter(self, opening: str) -> None:
        self.expect(opening)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise RequestError(f"a tool call is nested too deeply: {MAX_DEPTH} levels can be read")

    def leave(self, closing: str) -> bool:
        """Return True at the end of a list or an object, and step behind it."""
        left = self.skip(closing)
        self.depth -= left
        return left

    def members(self) -> dict[str, Json]:
        found: dict[str, Json] = {}
        self.enter("{")
        while not self.leave("}"):
            name = self.name()
            if not self.skip("="):
                self.expect(":")
            quoted = self.piece
            found[name] = self.value()
            # `at` is 0 only behind a quoted string.
            is_string = self.piece > quoted and self.at == 0
            if self.leave("}"):
                break
            if not (is_string and MEMBER_START.match(self.bare, self.at)):
                self.expect(",")
        return found

    def items(self) -> list[Json]:
        found: list[Json] = []
        self.enter("[")
        while not self.leave("]"):
            found.append(self.value())
            if self.leave("]"):
                break
            self.expect(",")
        return found


def _json_escape(found: re.Match[str]) -> str:
    """Return what JSON writes for an escape, or a double quote, between single quotes."""
    return {'"': '\\"', "\\'": "'"}.get(found[0], found[0])
