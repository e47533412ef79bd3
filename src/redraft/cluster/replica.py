"""Replica: the application of `redraft serve`, called by messages in place of a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch

from redraft.batch.models import MAX_PREFIX_CACHE, ModelsToLoad
from redraft.engine.memory_budget import usable_memory
from redraft.server import Settings, create_app

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Asked:
    """An HTTP request that was read whole."""

    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes
    client: tuple[str, int] | None = None


@dataclass(frozen=True)
class Head:
    """The head of an answer."""

    status: int
    headers: Headers


class Replica:
    """Answers requests with the application of `redraft serve`.

    Args:
        settings: of the server; its state file only where this is the one that keeps the state.
        generation: number of the start; a higher one replaces the replicas, one after another.
    """

    def __init__(self, models: ModelsToLoad, settings: Settings, generation: int = 0) -> None:
        self.generation = generation
        loaded = models.load()
        device = next(iter(loaded.values())).network.device
        self._app = create_app(loaded, with_memory(settings, device))
        self._lifespan = self._app.router.lifespan_context(self._app)
        self._begin = asyncio.Lock()
        self._begun = False

    async def start(self) -> None:
        """Start the engines, once."""
        async with self._begin:
            if not self._begun:
                await self._lifespan.__aenter__()
                self._begun = True

    async def check_health(self) -> None:
        """Check that the application answers.

        Raises:
            RuntimeError: it does not.
        """
        await self.start()
        asked = Asked("GET", "/health", b"", [(b"host", b"localhost")], b"")
        async for part in self.answer(asked):
            if isinstance(part, Head) and part.status >= 500:
                raise RuntimeError(f"/health answers {part.status}")

    async def answer(self, asked: Asked) -> AsyncGenerator[Head | bytes, None]:
        """Yield the head of an answer, then its body as it comes.

        Closing the generator is what a client does that leaves.
        """
        await self.start()
        sent: asyncio.Queue[Any] = asyncio.Queue()
        left = asyncio.Event()
        given = [{"type": "http.request", "body": asked.body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if given:
                return given.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def run() -> None:
            try:
                await self._app(scope_of(asked), receive, sent.put)
            finally:
                sent.put_nowait(None)

        task = asyncio.ensure_future(run())
        try:
            while (message := await sent.get()) is not None:
                if message["type"] == "http.response.start":
                    yield Head(message["status"], list(message.get("headers", [])))
                elif message.get("body"):
                    yield message["body"]
        finally:
            left.set()
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


def with_memory(settings: Settings, device: torch.device) -> Settings:
    """Return settings whose memory is that of the device, where they set no limit."""
    if settings.memory is not None:
        return settings
    limit = usable_memory(device)
    kept = settings.prefix_cache or min(limit // 4, MAX_PREFIX_CACHE)
    return replace(settings, memory=limit, prefix_cache=kept)


def scope_of(asked: Asked) -> dict[str, Any]:
    """Return the scope of a request, as an ASGI application reads it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": asked.path,
        "raw_path": asked.path.encode(),
        "query_string": asked.query,
        "root_path": "",
        "headers": asked.headers,
        "client": asked.client,
        "server": None,
        "extensions": {},
    }
