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
]


def cut(
    text: str, rng: random.Random, *, calls: bool, most: int = 99
) -> tuple[OpenAIResponse, list[tuple[int, Event]]]:
    """What the engine would report of a text that is cut into canvases at random, up to its end."""
    tokens = TOKENIZER.encode(text, bos=False)
    config = GenerationConfig(max_new_tokens=len(tokens), eos_token_id=(), seed=1)
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
    reasons = [
        choice["finish_reason"]
        for chunk in chunks
        for choice in chunk["choices"]
        if choice["finish_reason"]
    ]
    assert reasons == [whole["choices"][0]["finish_reason"]]
    assert chunks[-1]["usage"] == whole["usage"]


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
