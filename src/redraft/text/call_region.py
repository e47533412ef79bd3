"""Call regions: the tokens from `<|tool_call>` to `<tool_call|>`, and the calls in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from redraft.errors import RequestError
from redraft.text.call_parser import QUOTE, ToolCall, parse_call
from redraft.text.tokenizer import TokenIds, Tokenizer

OPEN, CLOSE = "<|tool_call>", "<tool_call|>"
CALL_MARKERS = (OPEN, CLOSE, QUOTE)


@dataclass(frozen=True)
class UnreadableCall:
    """A tool call that cannot be read.

    Attributes:
        text: what the model wrote, with its special tokens.
        error: what was expected, and what was found.
    """

    text: str
    error: str


@dataclass(frozen=True)
class CallTokens:
    """The ids of the special tokens of tool calls."""

    open: int
    close: int
    quote: int

    @classmethod
    def find(cls, tokenizer: TokenIds) -> CallTokens | None:
        """Return the ids in a tokenizer's vocabulary, None where it lacks one of the tokens."""
        ids = [tokenizer.token_id(token) for token in CALL_MARKERS]
        found = [token for token in ids if token is not None]
        return cls(*found) if len(found) == len(ids) else None

    @classmethod
    def of(cls, tokenizer: TokenIds) -> CallTokens:
        """Return the ids in a tokenizer's vocabulary.

        Raises:
            RequestError: the vocabulary lacks one of the tokens.
        """
        found = cls.find(tokenizer)
        if found is None:
            raise RequestError(
                f"this tokenizer has no tokens for tool calls ({OPEN}, {CLOSE}, {QUOTE})"
            )
        return found


def read_region(
    tokens: Sequence[int], tokenizer: Tokenizer, ids: CallTokens, *, closed: bool
) -> list[ToolCall | UnreadableCall]:
    """Return what stands between an opening token and the next closing one, or the end.

    It is one call, or several whose closing tokens are missing. An opening token inside a quoted
    string is text.

    Args:
        closed: a closing token stands behind it. Without one, special tokens at its end belong to
            the turn, not to the call.
    """
    if not closed:
        special = tokenizer.special_tokens() - {ids.quote, ids.open}
        while tokens and tokens[-1] in special:
            tokens = tokens[:-1]
    parts = list(_split(tokens, ids))
    found = []
    for number, part in enumerate(parts, 1):
        is_closed = closed and number == len(parts)
        call = _call(part, tokenizer, ids, closed=is_closed)
        if isinstance(call, UnreadableCall) and ids.open in part:
            # A string without end: what looked like its content is calls of their own.
            inner = list(_split(part, ids, strings=False))
            for place, one in enumerate(inner, 1):
                last = is_closed and place == len(inner)
                found.append(_call(one, tokenizer, ids, closed=last))
        else:
            found.append(call)
    return found


def _split(
    tokens: Sequence[int], ids: CallTokens, *, strings: bool = True
) -> Iterator[Sequence[int]]:
    """Yield the parts between opening tokens; with `strings`, those in strings do not count."""
    first, quoted = 0, False
    for at, token in enumerate(tokens):
        if token == ids.quote:
            quoted = not quoted
        if token == ids.open and not (strings and quoted):
            yield tokens[first:at]
            first = at + 1
    yield tokens[first:]


def _call(
    tokens: Sequence[int], tokenizer: Tokenizer, ids: CallTokens, *, closed: bool
) -> ToolCall | UnreadableCall:
    pieces: list[list[int]] = [[]]
    for token in tokens:
        if token == ids.quote:
            pieces.append([])
        else:
            pieces[-1].append(token)
    try:
        # Special tokens are spelled: none may vanish from a name or a string.
        return parse_call([tokenizer.decode(piece, special=True) for piece in pieces])
    except RequestError as error:
        text = OPEN + tokenizer.decode(tokens, special=True) + (CLOSE if closed else "")
        return UnreadableCall(text, str(error))
