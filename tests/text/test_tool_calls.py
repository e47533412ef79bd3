"""Tool calls as tokens, and back."""

from __future__ import annotations

import pytest

from redraft.errors import RequestError
from redraft.testing.byte_tokenizer import byte_tokenizer
from redraft.text.tool_calls import ToolCall, tool_calls

TOKENIZER = byte_tokenizer()


def read(text: str) -> list[ToolCall]:
    return tool_calls(TOKENIZER.encode(text, bos=False), TOKENIZER)


def test_calls_are_read_as_gemma_writes_them() -> None:
    text = (
        'before<|tool_call>call:f{a:<|"|>x, {y}: "é"<|"|>,b:-1.5,'
        'c:[1,<|"|><|"|>,true],d:{e:null,f:{}}}<tool_call|>'
        "<|tool_call>call:g{}<tool_call|>after"
    )
    assert read(text) == [
        ToolCall(
            "f", {"a": 'x, {y}: "é"', "b": -1.5, "c": [1, "", True], "d": {"e": None, "f": {}}}
        ),
        ToolCall("g", {}),
    ]
    assert read("no call") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<|tool_call>call:f{a:1", "'}'|','"),
        ("<|tool_call>call:f g{}<tool_call|>", "'{' expected, 'g'"),
        ("<|tool_call>call:f{a:007}<tool_call|>", "in place of '007'"),
        ('<|tool_call>call:f{a:<|"|>x}<tool_call|>', "string in a tool call has no end"),
        ("<|tool_call>call:f{a:1<tool_call|>", "'}'|','"),
        ("<|tool_call>call:f{a:x}<tool_call|>", "in place of 'x'"),
        ("<|tool_call>f{}<tool_call|>", "'call:' expected"),
        ("<|tool_call>call:f{}x<tool_call|>", "the end expected"),
        ("<|tool_call>call:f{a:[1 2]}<tool_call|>", "in place of '1 2'"),
        ("<|tool_call>call:f{a:1_0}<tool_call|>", "in place of '1_0'"),
        ("<|tool_call>call:f{a:1e999}<tool_call|>", "in place of '1e999'"),
        ("<|tool_call>call:f{a:nan}<tool_call|>", "in place of 'nan'"),
        ("<|tool_call>call:f{a:" + "[" * 3000 + "]" * 3000 + "}<tool_call|>", "nested too deeply"),
    ],
)
def test_a_call_that_cannot_be_read_says_where(text: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        read(text)
