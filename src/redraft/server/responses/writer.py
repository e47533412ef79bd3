"""Writer: a turn as the events of a response; the last of them holds it whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from redraft.drawn import now
from redraft.server.json_object import JsonObject
from redraft.server.json_text import is_shorter
from redraft.server.responses.items import (
    call_item,
    message_item,
    new_id,
    output_text,
    reasoning_item,
)
from redraft.server.responses.schemas import Item, ResponseRequest
from redraft.server.turn import AnswerPiece, ChatTurn, Ended

EventChunk = JsonObject
# What a response repeats of its request, and what stands there where that is long.
REPEATED: JsonObject = {
    "instructions": None,
    "metadata": {},
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
}
MAX_REPEATED = 64 << 10  # characters, about


class ResponseWriter:
    """Writes one response.

    Attributes:
        id: of the response. output: the items that are whole. response: the response as it stands.
    """

    def __init__(self, body: ResponseRequest, turn: ChatTurn) -> None:
        self.id = new_id("resp")
        self.output: list[Item] = []
        self._body, self._turn = body, turn
        self._number = 0
        # The item that is being written: its kind, its id, its text so far.
        self._open: tuple[str, str] | None = None
        self._text = ""
        self.response = self._begun()

    async def events(self) -> AsyncGenerator[EventChunk, None]:
        """Yield the events of the response."""
        drafts = self._body.stream and self._body.stream_options.include_drafts
        async with aclosing(self._turn.pieces(drafts=drafts)) as pieces:
            async for piece in pieces:
                if not self._number:
                    begun = self._short()
                    yield self._event("response.created", response=begun)
                    yield self._event("response.in_progress", response=begun)
                for event in self._events_of(piece):
                    yield event

    async def whole(self) -> JsonObject:
        """Return the whole response."""
        async with aclosing(self.events()) as events:
            async for _ in events:
                pass
        return self.response

    def _short(self) -> JsonObject:
        """Return the response as it stands; what it repeats of a long request, the last event
        alone has."""
        repeated = {name: self.response[name] for name in REPEATED}
        if is_shorter(repeated, MAX_REPEATED):
            return dict(self.response)
        return self.response | {name: REPEATED[name] for name in repeated}

    def failed(self, _: int, body: JsonObject) -> EventChunk:
        """Return the event that tells an error, from its body in OpenAI's shape."""
        error = body["error"]
        told = {"code": error["code"] or error["type"], "message": error["message"]}
        self.response |= {"status": "failed", "error": told}
        return self._event("response.failed", response=self.response)

    def _events_of(self, piece: AnswerPiece) -> Iterator[EventChunk]:
        if piece.draft is not None:
            yield self._event("redraft.draft", draft=piece.draft)
        if piece.reasoning:
            yield from self._opened("reasoning", "rs")
            self._text += piece.reasoning
            yield self._delta("reasoning_text", piece.reasoning, content_index=0)
            if self._body.summarised:
                yield self._delta("reasoning_summary_text", piece.reasoning, summary_index=0)
        if piece.content:
            yield from self._opened("message", "msg")
            self._text += piece.content
            yield self._delta("output_text", piece.content, content_index=0, logprobs=[])
        if piece.call is not None:
            yield from self._closed()
            yield from self._call(piece.call)
        if piece.ended is not None:
            yield from self._end(piece.ended)

    def _opened(self, kind: str, prefix: str) -> Iterator[EventChunk]:
        """Begin an item of a kind, unless one is begun."""
        if self._open is not None and self._open[0] == kind:
            return
        yield from self._closed()
        name = new_id(prefix)
        self._open, self._text = (kind, name), ""
        item: Item
        if kind == "reasoning":
            item = reasoning_item(name, "", summarised=False) | {"content": []}
        else:
            item = message_item(name, "", None, "in_progress") | {"content": []}
        yield self._item_event("added", item | {"status": "in_progress"})
        if kind == "message":
            yield self._part_event("content_part.added", output_text(""), content_index=0)
            return
        part = {"type": "reasoning_text", "text": ""}
        yield self._part_event("content_part.added", part, content_index=0)
        if self._body.summarised:
            summary = {"type": "summary_text", "text": ""}
            yield self._part_event("reasoning_summary_part.added", summary, summary_index=0)

    def _closed(
        self, logprobs: list[JsonObject] | None = None, status: str = "completed"
    ) -> Iterator[EventChunk]:
        """End the item that is being written, if one is."""
        if self._open is None:
            return
        kind, name = self._open
        text = self._text
        if kind == "message":
            item = message_item(name, text, logprobs, status)
            (part,) = item["content"]
            yield self._done("output_text", content_index=0, logprobs=part["logprobs"])
            yield self._part_event("content_part.done", part, content_index=0)
        else:
            summarised = self._body.summarised
            item = reasoning_item(name, text, summarised=summarised)
            yield self._done("reasoning_text", content_index=0)
            (part,) = item["content"]
            yield self._part_event("content_part.done", part, content_index=0)
            if summarised:
                (summary,) = item["summary"]
                yield self._done("reasoning_summary_text", summary_index=0)
                yield self._part_event("reasoning_summary_part.done", summary, summary_index=0)
        yield self._item_event("done", item)
        self.output.append(item)
        self._open = None

    def _call(self, call: JsonObject) -> Iterator[EventChunk]:
        item = call_item(new_id("fc"), call)
        place = {"item_id": item["id"], "output_index": len(self.output)}
        given = item["arguments"]
        yield self._item_event("added", item | {"arguments": "", "status": "in_progress"})
        yield self._event("response.function_call_arguments.delta", **place, delta=given)
        yield self._event(
            "response.function_call_arguments.done", **place, name=item["name"], arguments=given
        )
        yield self._item_event("done", item)
        self.output.append(item)

    def _end(self, ended: Ended) -> Iterator[EventChunk]:
        cut = ended.reason == "length"
        yield from self._closed(ended.logprobs, "incomplete" if cut else "completed")
        if not self.output:
            # An answer of no text is a message too: clients expect one.
            yield from self._opened("message", "msg")
            yield from self._closed(ended.logprobs)
        self.response |= {
            "status": "incomplete" if cut else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "output": self.output,
            "usage": _usage(ended.usage),
        } | ended.mark
        if ended.unreadable:
            self.response["invalid_tool_calls"] = ended.unreadable
        name = "response.incomplete" if cut else "response.completed"
        yield self._event(name, response=self.response)

    def _event(self, kind: str, **fields: Any) -> EventChunk:
        self._number += 1
        return {"type": kind, "sequence_number": self._number - 1} | fields

    def _item_event(self, what: str, item: Item) -> EventChunk:
        kind = f"response.output_item.{what}"
        return self._event(kind, output_index=len(self.output), item=item)

    def _part_event(self, what: str, part: Item, **place: int) -> EventChunk:
        return self._event(f"response.{what}", **self._place(), **place, part=part)

    def _delta(self, what: str, delta: str, **fields: Any) -> EventChunk:
        return self._event(f"response.{what}.delta", **self._place(), **fields, delta=delta)

    def _done(self, what: str, **fields: Any) -> EventChunk:
        return self._event(f"response.{what}.done", **self._place(), **fields, text=self._text)

    def _place(self) -> JsonObject:
        assert self._open is not None
        return {"item_id": self._open[1], "output_index": len(self.output)}

    def _begun(self) -> JsonObject:
        body = self._body
        given = {"type": "text"} if body.text.format is None else body.text.format.model_dump()
        return {
            "id": self.id,
            "object": "response",
            "created_at": int(now()),
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": (body.model_extra or {}).get("metadata", {}),
            "model": body.model,
            "output": [],
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "reasoning": {"effort": body.reasoning.effort, "summary": body.reasoning.summary},
            "store": body.store,
            "temperature": 1.0 if body.temperature is None else body.temperature,
            "text": {"format": given},
            "tool_choice": body.tool_choice or "auto",
            "tools": body.tools or [],
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "truncation": "disabled",
            "usage": None,
        }


def _usage(usage: JsonObject) -> JsonObject:
    """Return the usage of a chat in the words of the Responses API."""
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": usage["prompt_tokens_details"],
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage["total_tokens"],
        "steps": usage["steps"],
        "tokens_per_forward": usage["tokens_per_forward"],
        "seconds": usage["seconds"],
    }
