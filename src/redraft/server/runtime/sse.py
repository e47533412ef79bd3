"""Sending: answers whole or as server-sent events, for as long as the client is there."""

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

from redraft.server.errors import told

LOOK = 0.2  # seconds between two looks at whether a client is still there
Found = TypeVar("Found")


class EventStream(StreamingResponse):
    """Server-sent events, whose source is closed with them however they end."""

    media_type = "text/event-stream"

    def __init__(self, lines: AsyncGenerator[str, None]) -> None:
        super().__init__(lines)
        self._lines = lines

    async def stream_response(self, send: Send) -> None:
        """Send them all."""
        async with aclosing(self._lines):
            await super().stream_response(send)


Chunks = AsyncGenerator[dict[str, Any], None]


async def unless_gone(request: Request, work: Coroutine[Any, Any, Found]) -> Found:
    """What some work gives; it is cancelled where the client leaves before."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=LOOK))[0]:
            if await request.is_disconnected():
                raise HTTPException(499, "the client has left")
        return task.result()
    finally:
        task.cancel()


async def streamed(request: Request, chunks: Chunks) -> Response:
    """Chunks as server-sent events. What is wrong with the request is raised before the stream
    begins."""

    async def first() -> dict[str, Any]:
        return await anext(chunks)

    begun = await unless_gone(request, first())
    return EventStream(_sent(begun, chunks))


async def _sent(first: dict[str, Any], rest: Chunks) -> AsyncGenerator[str, None]:
    """An error in their midst is the last of them."""
    async with aclosing(rest):
        yield _line(first)
        try:
            async for chunk in rest:
                yield _line(chunk)
        except Exception as error:
            yield _line(told(error)[1])
        yield "data: [DONE]\n\n"


def _line(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
