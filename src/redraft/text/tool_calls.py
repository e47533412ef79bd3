"""Gemma's tool calls among tokens: `<|tool_call>call:NAME{key:value,...}<tool_call|>`."""

from __future__ import annotations

from collections.abc import Sequence

from redraft.errors import RequestError
from redraft.text.answer import read_answer
from redraft.text.call_parser import CALL_PREFIX, ToolCall
from redraft.text.call_region import CallTokens, UnreadableCall
from redraft.text.tokenizer import Tokenizer

__all__ = ["CALL_PREFIX", "CallTokens", "ToolCall", "UnreadableCall", "tool_calls"]


def tool_calls(tokens: Sequence[int], tokenizer: Tokenizer) -> list[ToolCall]:
    """Return the calls among the tokens of an answer; a call in a thought is none.

    Raises:
        RequestError: a call is not valid; the message says what was expected.
    """
    CallTokens.of(tokenizer)
    answer = read_answer(tokens, tokenizer)
    if answer.unreadable:
        raise RequestError(answer.unreadable[0].error)
    return list(answer.calls)
