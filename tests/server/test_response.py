"""Answers in pieces: wherever canvases cut them, the pieces are the whole."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from redraft.config import GenerationConfig
from redraft.engine import Request
from redraft.engine.output import Output
from redraft.events import Committed, Event
from redraft.server.openai.response import OpenAIResponse
from redraft.server.openai.translate import Translation
from redraft.text import read_answer
from tests.text.random_answers import answer as random_answer
from tests.text.test_tool_calls import TOKENIZER

CALL = '<|tool_call>call:weather{city:<|"|>Rome<|"|>}<tool_call|>'
WRITTEN = [
    "plain text, é and 😀",
    "<|channel>thought\nlet me see\nonce<channel|>the answer",
    "<|channel>thought\nfirst<channel|>so <|channel>thought\nsecond<channel|>far",
    f"<|channel>thought\nI should ask<channel|>let me look {CALL}{CALL}",
    f"{CALL}",
    "an open <|tool_call>call:weather{city: is no call",
    "<|channel>thoughts are free",
    f"before {CALL} between <|tool_call>call:weather{{city:<tool_call|> and {CALL} behind",
    f" \n{CALL} \n {CALL}\n",
    " \n ",
]


def cut(
    text: str, rng: random.Random, *, calls: bool, most: int = 99
) -> tuple[OpenAIResponse, list[tuple[int, Event]]]:
    """What the engine would report of a text that is cut into canvases at random, up to its end."""
    tokens = TOKENIZER.encode(text, bos=False)
    config = GenerationConfig(max_new_tokens=max(1, len(tokens)), eos_token_id=(), seed=1)
    request = Request((2,), config)
    writing = Output(0, request, TOKENIZER)
    events: list[tuple[int, Event]] = []
    while tokens:
        count = min(most, rng.choice((1, 1, 2, 5, len(tokens))))
        canvas, tokens = tokens[:count], tokens[count:]
        added, said = writing.commit(canvas, 1)
        events.append(
            (0, Committed(request=0, canvas=len(events), steps=1, tokens=tuple(added), text=said))
        )
    events.append((0, writing.finished()))
    return OpenAIResponse(
        "chat.completion", "m", TOKENIZER, Translation([request], calls=calls)
    ), events


async def told(events: list[tuple[int, Event]]) -> AsyncGenerator[tuple[int, Event], None]:
    for one in events:
        yield one


@pytest.mark.parametrize("text", WRITTEN)
@pytest.mark.parametrize("case", range(8))
def test_pieces_are_the_whole_wherever_it_is_cut(text: str, case: int) -> None:
    answer, events = cut(text, random.Random(case), calls=True)

    async def both() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        whole = await answer.collected(told(events))
        return whole, [
            chunk async for chunk in answer.chunks(told(events), usage=True, drafts=False)
        ]

    whole, chunks = asyncio.run(both())
    message = whole["choices"][0]["message"]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == (message["content"] or "")
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == message.get(
        "reasoning_content", ""
    )
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    functions = [call["function"] for call in message.get("tool_calls", [])]
    assert [call["function"] for call in calls] == functions
    assert [json.loads(function["arguments"]) for function in functions] == [
        {"city": "Rome"}
    ] * text.count(CALL)
    unreadable = [delta["invalid_tool_calls"] for delta in deltas if "invalid_tool_calls" in delta]
    assert unreadable == [message[name] for name in ("invalid_tool_calls",) if name in message]
    assert len(unreadable) == ("city:<tool_call|>" in text or "is no call" in text)
    reasons = [
        choice["finish_reason"]
        for chunk in chunks
        for choice in chunk["choices"]
        if choice["finish_reason"]
    ]
    assert reasons == [whole["choices"][0]["finish_reason"]]
    assert chunks[-1]["usage"] == whole["usage"]


@pytest.mark.parametrize("case", range(40))
def test_random_answers_are_said_whole_and_in_pieces(case: int) -> None:
    rng = random.Random(case)
    text = random_answer(rng).text or "nothing"
    response, events = cut(text, rng, calls=True)
    expected = read_answer(TOKENIZER.encode(text, bos=False), TOKENIZER)

    async def both() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        whole = await response.collected(told(events))
        return whole, [
            one async for one in response.chunks(told(events), usage=False, drafts=False)
        ]

    whole, chunks = asyncio.run(both())
    message = whole["choices"][0]["message"]
    assert (message["content"] or "") == expected.content
    assert message.get("reasoning_content", "") == expected.reasoning
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == expected.content
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == expected.reasoning
    sent = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert [call["index"] for call in sent] == list(range(len(expected.calls)))
    assert len({call["id"] for call in sent}) == len(sent)
    for calls in (sent, message.get("tool_calls", [])):
        read = [
            (one["function"]["name"], json.loads(one["function"]["arguments"])) for one in calls
        ]
        assert read == [(one.name, one.arguments) for one in expected.calls]


def test_thoughts_come_before_what_follows_from_them() -> None:
    answer, events = cut(WRITTEN[1], random.Random(1), calls=False, most=2)

    async def stream_response() -> list[str]:
        chunks = [chunk async for chunk in answer.chunks(told(events), usage=False, drafts=False)]
        return [
            name
            for chunk in chunks
            for choice in chunk["choices"]
            for name, value in choice["delta"].items()
            if value
        ]

    names = [name for name in asyncio.run(stream_response()) if name != "role"]
    assert names == sorted(names, key=["reasoning_content", "content"].index)
    assert names.count("reasoning_content") > 1
