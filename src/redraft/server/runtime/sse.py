"""Server-sent events: answers, whole or streamed, for as long as the client is connected."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import Send

from redraft.server.errors import error_response

POLL_SECONDS = 0.2  # between two checks that the client is connected
Result = TypeVar("Result")


class EventStream(StreamingResponse):
    """A stream of server-sent events; its source is closed with it, however it ends."""

    media_type = "text/event-stream"

    def __init__(self, lines: AsyncGenerator[str, None]) -> None:
        super().__init__(lines)
        self._lines = lines

    async def stream_response(self, send: Send) -> None:
        """Send all events."""
        async with aclosing(self._lines):
            await super().stream_response(send)


Chunks = AsyncGenerator[dict[str, Any], None]


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


async def stream_response(request: Request, chunks: Chunks) -> Response:
    """Return chunks as server-sent events. Errors before the first chunk are raised."""

    async def first() -> dict[str, Any]:
        return await anext(chunks)

    begun = await while_connected(request, first())
    return EventStream(_sent(begun, chunks))


async def _sent(first: dict[str, Any], rest: Chunks) -> AsyncGenerator[str, None]:
    """Yield the lines of a stream; an error in it is its last event."""
    async with aclosing(rest):
        yield _line(first)
        try:
            async for chunk in rest:
                yield _line(chunk)
        except Exception as error:
            yield _line(error_response(error)[1])
        yield "data: [DONE]\n\n"


def _line(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
