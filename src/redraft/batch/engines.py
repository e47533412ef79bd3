"""Engines of a job: the application of the server, called in this process.

So a line means what the same request means to the server, and rows of all lines share its batches.
"""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx2

from redraft.batch.records import LineAnswer
from redraft.server import Settings, create_app

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redraft.api import Model

# Requests that wait for a place in a batch are bounded by the job, not by the server.
NO_LIMIT = 1 << 20
MAX_BODY = 1 << 30
# Lines that are asked for each row of a batch, so that the next is prepared when one ends.
LINES_PER_ROW = 2


class LocalEngines:
    """The models of this process, each with an engine: an async context.

    Args:
        batch: rows of each engine at a time.
        memory, prefix_cache: bytes, as in the server's settings.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        *,
        batch: int,
        memory: int | None = None,
        prefix_cache: int = 256 << 20,
    ) -> None:
        settings = Settings(
            max_batch_size=batch,
            max_waiting=NO_LIMIT,
            max_body=MAX_BODY,
            memory=memory,
            prefix_cache=prefix_cache,
            grace=0.0,
        )
        self._app = create_app(models, settings)
        self.slots = batch * LINES_PER_ROW * len(models)
        self._stack = AsyncExitStack()
        transport = httpx2.ASGITransport(self._app, raise_app_exceptions=False)
        self._client = httpx2.AsyncClient(
            transport=transport, base_url="http://batch", timeout=None
        )

    async def __aenter__(self) -> LocalEngines:
        await self._stack.enter_async_context(self._app.router.lifespan_context(self._app))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()
        await self._stack.aclose()

    async def answer(self, url: str, body: dict[str, Any]) -> LineAnswer:
        """Return the application's answer to a request."""
        answer = await self._client.post(
            url, content=json.dumps(body), headers={"content-type": "application/json"}
        )
        return LineAnswer(answer.status_code, answer.json())
