"""The client that waits."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Generic, Self, TypeVar, cast

import httpx2

import redraft.client.requests as requests
from redraft.client.errors import ServerError
from redraft.client.events import Filled, StreamedAnswer, StreamEvent
from redraft.client.reader import EventReader

Result = TypeVar("Result", StreamedAnswer, Filled)


class Stream(Generic[Result]):
    """An iterator of the events of one request, which is sent at the first of them.

    In a `with` statement, or after `close`, the connection is closed, and the server stops writing.
    """

    def __init__(self, client: Client, request: requests.StreamRequest) -> None:
        self._reader = EventReader()
        self._events = self._received(client, request)

    def __iter__(self) -> Iterator[StreamEvent]:
        return self._events

    def __next__(self) -> StreamEvent:
        return next(self._events)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the stream."""
        self._events.close()

    def result(self) -> Result:
        """Read the stream to its end, and return the result.

        Raises:
            ServerError: the server refused the request, failed, or broke off.
        """
        for _ in self._events:
            pass
        return cast(Result, self._reader.result())

    def _received(
        self, client: Client, request: requests.StreamRequest
    ) -> Generator[StreamEvent, None, None]:
        body = {"model": client.model} | request.body
        try:
            with client.http.stream("POST", request.path, json=body) as answer:
                if answer.status_code != httpx2.codes.OK:
                    answer.read()
                    raise ServerError.of_text(answer.text, answer.status_code)
                for received in answer.iter_bytes():
                    yield from self._reader.feed(received)
                    if self._reader.ended:
                        return
        except httpx2.TransportError as error:
            raise lost(error) from None
        raise ServerError.broken_off()


class Client:
    """A server of redraft.

    Args:
        url: of the server, with or without `/v1`. key: the API key; $REDRAFT_API_KEY unless given.
        model: its name in requests; the server's first one unless given.
        timeout: seconds without a byte after which a request fails; None waits.
        transport: of httpx2, such as one to a unix socket.

    Raises:
        ConfigError: the address is none of HTTP.
    """

    def __init__(
        self,
        url: str = requests.DEFAULT_URL,
        *,
        key: str | None = None,
        model: str | None = None,
        timeout: float | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._model = model
        self.http = httpx2.Client(
            base_url=requests.base_url(url),
            headers=requests.headers(key),
            timeout=timeout,
            transport=transport,
        )

    @property
    def model(self) -> str:
        """Name of the model that requests ask."""
        if self._model is None:
            self._model = self.models()[0]
        return self._model

    def models(self) -> list[str]:
        """Return the names of the server's models.

        Raises:
            ServerError: the server refused the request, or cannot be reached.
        """
        try:
            answer = self.http.get("/v1/models")
        except httpx2.TransportError as error:
            raise lost(error) from None
        if answer.status_code != httpx2.codes.OK:
            raise ServerError.of_text(answer.text, answer.status_code)
        return [one["id"] for one in answer.json()["data"]]

    def chat(
        self, messages: requests.Messages, *, drafts: bool = True, **fields: Any
    ) -> Stream[StreamedAnswer]:
        """Return the stream of an answer to messages in OpenAI's form, or to one text.

        Args:
            fields: further fields of the request, such as `seed`, `tools` or `entropy_bound`.
        """
        return Stream(self, requests.chat(messages, fields, drafts=drafts))

    def complete(
        self, prompt: str, *, drafts: bool = True, **fields: Any
    ) -> Stream[StreamedAnswer]:
        """Return the stream of what continues a prompt; `fields` as for `chat`."""
        return Stream(self, requests.completion(prompt, fields, drafts=drafts))

    def infill(self, template: str, **fields: Any) -> Stream[Filled]:
        """Return the stream of a template whose `<hole>` marks are filled; `fields` as for
        `chat`."""
        return Stream(self, requests.infill(template, fields))

    def edit(self, text: str, spans: requests.Spans, **fields: Any) -> Stream[Filled]:
        """Return the stream of a text whose spans of characters are rewritten.

        Args:
            fields: as for `chat`; `kind="insert"` inserts at empty spans, `instruction` says what.
        """
        return Stream(self, requests.edit(text, spans, fields))

    def close(self) -> None:
        """Close all connections."""
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def lost(error: httpx2.TransportError) -> ServerError:
    """Return the error of a connection that failed."""
    kind = type(error).__name__
    return ServerError(f"the connection to the server failed ({kind}: {error}): does it run?")
