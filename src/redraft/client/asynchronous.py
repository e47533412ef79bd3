"""The client for event loops."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Generic, Self, TypeVar, cast

import httpx2

import redraft.client.requests as requests
from redraft.client.errors import ServerError
from redraft.client.events import Filled, StreamedAnswer, StreamEvent
from redraft.client.reader import EventReader
from redraft.client.synchronous import lost

Result = TypeVar("Result", StreamedAnswer, Filled)


class AsyncStream(Generic[Result]):
    """An asynchronous iterator of the events of one request; see `Stream`."""

    def __init__(self, client: AsyncClient, request: requests.StreamRequest) -> None:
        self._reader = EventReader()
        self._events = self._received(client, request)

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return self._events

    async def __anext__(self) -> StreamEvent:
        return await anext(self._events)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave the stream."""
        await self._events.aclose()

    async def result(self) -> Result:
        """Read the stream to its end, and return the result.

        Raises:
            ServerError: the server refused the request, failed, or broke off.
        """
        async for _ in self._events:
            pass
        return cast(Result, self._reader.result())

    async def _received(
        self, client: AsyncClient, request: requests.StreamRequest
    ) -> AsyncGenerator[StreamEvent, None]:
        body = {"model": await client.model()} | request.body
        try:
            async with client.http.stream("POST", request.path, json=body) as answer:
                if answer.status_code != httpx2.codes.OK:
                    await answer.aread()
                    raise ServerError.of_text(answer.text, answer.status_code)
                async for received in answer.aiter_bytes():
                    for event in self._reader.feed(received):
                        yield event
                    if self._reader.ended:
                        return
        except httpx2.TransportError as error:
            raise lost(error) from None
        raise ServerError.broken_off()


class AsyncClient:
    """A server of redraft; arguments and methods are those of `Client`."""

    def __init__(
        self,
        url: str = requests.DEFAULT_URL,
        *,
        key: str | None = None,
        model: str | None = None,
        timeout: float | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._model = model
        self.http = httpx2.AsyncClient(
            base_url=requests.base_url(url),
            headers=requests.headers(key),
            timeout=timeout,
            transport=transport,
        )

    async def model(self) -> str:
        """Return the name of the model that requests ask."""
        if self._model is None:
            self._model = (await self.models())[0]
        return self._model

    async def models(self) -> list[str]:
        """Return the names of the server's models; errors as for `Client.models`."""
        try:
            answer = await self.http.get("/v1/models")
        except httpx2.TransportError as error:
            raise lost(error) from None
        if answer.status_code != httpx2.codes.OK:
            raise ServerError.of_text(answer.text, answer.status_code)
        return [one["id"] for one in answer.json()["data"]]

    def chat(
        self, messages: requests.Messages, *, drafts: bool = True, **fields: Any
    ) -> AsyncStream[StreamedAnswer]:
        """Return the stream of an answer; see `Client.chat`."""
        return AsyncStream(self, requests.chat(messages, fields, drafts=drafts))

    def complete(
        self, prompt: str, *, drafts: bool = True, **fields: Any
    ) -> AsyncStream[StreamedAnswer]:
        """Return the stream of what continues a prompt; see `Client.complete`."""
        return AsyncStream(self, requests.completion(prompt, fields, drafts=drafts))

    def infill(self, template: str, **fields: Any) -> AsyncStream[Filled]:
        """Return the stream of a filled template; see `Client.infill`."""
        return AsyncStream(self, requests.infill(template, fields))

    def edit(self, text: str, spans: requests.Spans, **fields: Any) -> AsyncStream[Filled]:
        """Return the stream of a rewritten text; see `Client.edit`."""
        return AsyncStream(self, requests.edit(text, spans, fields))

    async def aclose(self) -> None:
        """Close all connections."""
        await self.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
