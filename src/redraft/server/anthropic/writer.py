"""Writer: a turn as the events of a message, or as a whole message."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from redraft.server.anthropic.blocks import new_id
from redraft.server.anthropic.schemas import Block
from redraft.server.dialects import error_in
from redraft.server.json_object import JsonObject
from redraft.server.runtime.sse import StreamForm, named_line
from redraft.server.turn import AnswerPiece, ChatTurn, Ended

EventChunk = JsonObject
ANTHROPIC_STREAM = StreamForm(named_line, lambda status, body: error_in("anthropic", status, body))
REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


class MessageWriter:
    """Writes one message. `model` is the name of the request."""

    def __init__(self, model: str, turn: ChatTurn) -> None:
        self._model, self._turn = model, turn
        self._open: str | None = None  # type of the block that is being written
        self._count = 0  # blocks so far

    async def whole(self) -> JsonObject:
        """Return the whole message."""
        blocks: list[Block] = []
        async with aclosing(self._turn.pieces()) as pieces:
            async for piece in pieces:
                _append(blocks, piece)
                if piece.ended is not None:
                    ended = piece.ended
        return self._message(blocks) | _closing(ended) | {"usage": _usage(ended.usage)}

    async def events(self, *, drafts: bool) -> AsyncGenerator[EventChunk, None]:
        """Yield the events of the message."""
        begun = False
        async with aclosing(self._turn.pieces(drafts=drafts)) as pieces:
            async for piece in pieces:
                if not begun:
                    begun = True
                    yield {"type": "message_start", "message": self._message([])}
                for event in self._events_of(piece):
                    yield event

    def _events_of(self, piece: AnswerPiece) -> Iterator[EventChunk]:
        if piece.draft is not None:
            yield {"type": "draft", "draft": piece.draft}
        if piece.reasoning:
            yield from self._opened({"type": "thinking", "thinking": "", "signature": ""})
            yield self._delta("thinking_delta", thinking=piece.reasoning)
        if piece.content:
            yield from self._opened({"type": "text", "text": ""})
            yield self._delta("text_delta", text=piece.content)
        if piece.call is not None:
            yield from self._closed()
            block = _tool_use(piece.call)
            yield from self._opened(block | {"input": {}})
            yield self._delta("input_json_delta", partial_json=json.dumps(block["input"]))
            yield from self._closed()
        if piece.ended is not None:
            yield from self._closed()
            usage = _usage(piece.ended.usage)
            yield {"type": "message_delta", "delta": _closing(piece.ended), "usage": usage}
            yield {"type": "message_stop"}

    def _opened(self, block: Block) -> Iterator[EventChunk]:
        """Begin a block, unless one of its type is begun."""
        if self._open == block["type"]:
            return
        yield from self._closed()
        self._open = block["type"]
        yield {"type": "content_block_start", "index": self._count, "content_block": block}

    def _closed(self) -> Iterator[EventChunk]:
        if self._open is not None:
            yield {"type": "content_block_stop", "index": self._count}
            self._open = None
            self._count += 1

    def _delta(self, kind: str, **fields: str) -> EventChunk:
        delta = {"type": kind} | fields
        return {"type": "content_block_delta", "index": self._count, "delta": delta}

    def _message(self, blocks: list[Block]) -> JsonObject:
        return {
            "id": new_id("msg"),
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": blocks,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": self._turn.prompt_tokens, "output_tokens": 0},
        }


def _append(blocks: list[Block], piece: AnswerPiece) -> None:
    """Add a piece to blocks: text and thinking to the last one of their type."""
    if piece.call is not None:
        blocks.append(_tool_use(piece.call))
    for kind, text in (("thinking", piece.reasoning), ("text", piece.content)):
        if text and blocks and blocks[-1]["type"] == kind:
            blocks[-1][kind] += text
        elif text:
            signature = {"signature": ""} if kind == "thinking" else {}
            blocks.append({"type": kind, kind: text} | signature)


def _tool_use(call: JsonObject) -> Block:
    function = call["function"]
    return {
        "type": "tool_use",
        "id": call["id"].replace("call_", "toolu_", 1),
        "name": function["name"],
        "input": json.loads(function["arguments"]),
    }


def _closing(ended: Ended) -> JsonObject:
    reason = "stop_sequence" if ended.stop_string is not None else REASONS[ended.reason]
    found = {"stop_reason": reason, "stop_sequence": ended.stop_string} | ended.mark
    return found | ({"invalid_tool_calls": ended.unreadable} if ended.unreadable else {})


def _usage(usage: JsonObject) -> JsonObject:
    """Return the usage of a chat in Anthropic's words: cached tokens are counted by themselves."""
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    return {
        "input_tokens": usage["prompt_tokens"] - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": usage["completion_tokens"],
        "steps": usage["steps"],
        "tokens_per_forward": usage["tokens_per_forward"],
        "seconds": usage["seconds"],
    }
