from __future__ import annotations

import json
from typing import Any

import pytest

from redraft.client import (
    EventReader,
    Filled,
    ServerError,
    SseDecoder,
    StreamedAnswer,
    StreamedDraft,
)


def line(chunk: Any) -> bytes:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()


def drawn(canvas: int, step: int, changed: list[Any], length: int = 3, **more: Any) -> Any:
    return {
        "canvas": canvas, "step": step, "changed": changed, "accepted": [], "revised": [0], "confidence": [50] * length,
        "entropy": 1.5, "text": "t",
    } | ({"index": 0} | more)  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_the_same_however_their_bytes_are_cut(size: int) -> None:
    stream = "data: é🙂\r\n\r\n: remark\nevent: x\ndata:two\n\ndata: a\u2028b\x85c\n\ndata: 1\ndata: 2\n\ndata: lost"
    all_bytes = stream.encode()
    decoder = SseDecoder()
    found = []
    for at in range(0, len(all_bytes), size):
        found += decoder.feed(all_bytes[at : at + size])
    assert found == ["é🙂", "two", "a\u2028b\x85c", "1\n2"]


def test_a_draft_has_all_tokens_of_its_canvas() -> None:
    reader = EventReader()
    chunks = [
        {"choices": [], "draft": drawn(0, 1, [[0, "a"], [1, "b"], [2, "c"]])},
        {"choices": [], "draft": drawn(0, 2, [[1, "B"]])},
        {"choices": [], "draft": drawn(0, 1, [[0, "x"], [1, "y"], [2, "z"]], index=1)},
        {"choices": [], "draft": drawn(0, 3, [])},
        {"choices": [], "draft": drawn(1, 1, [[0, "n"], [1, "e"]], length=2)},
    ]
    events = [event for chunk in chunks for event in reader.feed(line(chunk))]
    drafts = [event for event in events if isinstance(event, StreamedDraft)]
    assert [(one.index, "".join(one.tokens)) for one in drafts] == [
        (0, "abc"), (0, "aBc"), (1, "xyz"), (0, "aBc"), (0, "ne"),
    ]  # fmt: skip
    assert [one.changed for one in drafts] == [(0, 1, 2), (1,), (0, 1, 2), (), (0, 1)]


def test_an_answer_is_put_together_by_choice() -> None:
    reader = EventReader()
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
    for chunk in (
        {"choices": [{"index": 1, "delta": {"content": "b"}}]},
        {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]},
        {"choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"tool_calls": [call]}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}, {"index": 1, "delta": {}, "finish_reason": "tool_calls"}]},
        {"choices": [], "usage": {"total_tokens": 3}},
    ):  # fmt: skip
        list(reader.feed(line(chunk)))
    with pytest.raises(ServerError, match="broke off"):
        reader.result()
    list(reader.feed(b"data: [DONE]\n\n"))
    answer = reader.result()
    assert isinstance(answer, StreamedAnswer)
    assert [(one.text, one.reasoning, one.finish_reason) for one in answer.choices] == [
        ("a", "hm", "stop"), ("b", "", "tool_calls"),
    ]  # fmt: skip
    assert answer.choices[1].tool_calls == [call]
    assert answer.usage == {"total_tokens": 3}


def test_an_infill_ends_with_its_result() -> None:
    reader = EventReader()
    first = {"object": "infill.draft", "candidate": 2} | drawn(0, 1, [[0, "a"], [1, "b"], [2, "c"]])
    (draft,) = reader.feed(line(first))
    assert isinstance(draft, StreamedDraft)
    assert draft.index == 2
    body = {"object": "infill", "text": "abc", "fills": ["b"], "score": -1.0, "usage": {}}
    assert not list(reader.feed(line(body) + b"data: [DONE]\n\n"))
    found = reader.result()
    assert isinstance(found, Filled)
    assert (found.text, found.fills, found.score) == ("abc", ["b"], -1.0)


def test_an_error_in_a_stream_is_raised() -> None:
    body = {"error": {"message": "it broke", "type": "server_error", "code": "x"}}
    with pytest.raises(ServerError, match="it broke") as caught:
        list(EventReader().feed(line(body)))
    assert caught.value.code == "x"
