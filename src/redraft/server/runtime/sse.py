"""Streams of chunks, or whole answers, for as long as the client is connected."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import Send

from redraft.server.errors import error_response
from redraft.server.json_object import JsonObject
from redraft.server.json_text import LONG, is_shorter, json_text
from redraft.server.runtime.pools import written

# JSON need not escape these, and clients that read by Python's splitlines cut a line there.
LINE_ENDS = re.compile("[\x85\u2028\u2029]")
POLL_SECONDS = 0.2  # between two checks that the client is connected
Result = TypeVar("Result")
Chunk = JsonObject
Chunks = AsyncGenerator[Chunk, None]


def one_line(chunk: Chunk) -> str:
    """Return a chunk as JSON in one line, whichever characters a client takes for a line's end."""
    return LINE_ENDS.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text(chunk))


def data_line(chunk: Chunk) -> str:
    """Return a chunk as an event without a name."""
    return f"data: {one_line(chunk)}\n\n"


def named_line(chunk: Chunk) -> str:
    """Return a chunk as an event whose name is its `type`."""
    return f"event: {chunk['type']}\n{data_line(chunk)}"


def json_line(chunk: Chunk) -> str:
    """Return a chunk as a line of JSON."""
    return one_line(chunk) + "\n"


@dataclass(frozen=True)
class StreamForm:
    """How a dialect streams.

    Attributes:
        line: a chunk as it is sent. failed: the chunk that tells an error, from its status and its
            body in OpenAI's shape. end: what is sent last.
    """

    line: Callable[[Chunk], str] = data_line
    failed: Callable[[int, Chunk], Chunk] = lambda _, body: body
    end: str = ""
    media_type: str = "text/event-stream"


OPENAI_STREAM = StreamForm(end="data: [DONE]\n\n")


class EventStream(StreamingResponse):
    """A stream; its source is closed with it, however it ends."""

    def __init__(self, lines: AsyncGenerator[str, None], media_type: str) -> None:
        super().__init__(lines, media_type=media_type)
        self._lines = lines

    async def stream_response(self, send: Send) -> None:
        """Send all events."""
        async with aclosing(self._lines):
            await super().stream_response(send)


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of some work; cancel it where the client disconnects."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=POLL_SECONDS))[0]:
            if await request.is_disconnected():
                raise HTTPException(499, "the client has left")
        return task.result()
    finally:
        task.cancel()


async def stream_response(
    request: Request, chunks: Chunks, form: StreamForm = OPENAI_STREAM
) -> Response:
    """Return chunks as a stream. Errors before the first chunk are raised."""

    async def first() -> Chunk:
        return await anext(chunks)

    begun = await while_connected(request, first())
    return EventStream(_sent(begun, chunks, form), form.media_type)


async def _sent(first: Chunk, rest: Chunks, form: StreamForm) -> AsyncGenerator[str, None]:
    """Yield the lines of a stream; an error in it is its last chunk."""
    async with aclosing(rest):
        yield await _line(form, first)
        try:
            async for chunk in rest:
                yield await _line(form, chunk)
        except Exception as error:
            yield form.line(form.failed(*error_response(error)))
        if form.end:
            yield form.end


async def _line(form: StreamForm, chunk: Chunk) -> str:
    """Return a chunk as it is sent; a long one is written in a thread."""
    if is_shorter(chunk, LONG):
        return form.line(chunk)
    return await written(form.line, chunk)
