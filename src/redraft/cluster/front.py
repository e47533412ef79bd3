"""Front: the one process that clients reach; it hands requests to replicas and answers back.

Keys, limits, origins and time limits are applied here, by the server's own middleware. A request
whose replica dies is asked again of another one. All its random numbers follow from one secret, so
the second answer is the first one byte for byte, and a stream goes on where it broke off.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

from starlette.responses import JSONResponse

from redraft.cluster.calls import AnswerPart, Call, passed_headers, prefixes_of
from redraft.errors import RedraftError
from redraft.server.errors import error_body, json_error
from redraft.server.keys import current_key

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

TRIES = 6  # of one request, of which all but the last ended with their replica
PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0)
log = logging.getLogger("redraft.server")


class ReplicaLostError(RedraftError):
    """A replica ended while it answered."""


class BrokenStreamError(RedraftError):
    """A stream that had begun cannot be taken up again: its connection ends."""


class Replicas(Protocol):
    """Replicas behind a router, which answer calls."""

    def answer(self, call: Call) -> AsyncIterator[AnswerPart]:
        """Yield the parts of an answer.

        Raises:
            ReplicaLostError: the replica ended.
        """
        ...

    async def forget(self, call: Call) -> None:
        """Note that a call has ended, however it did."""
        ...


@dataclass
class SentAnswer:
    """How much of an answer the client was sent.

    Attributes:
        count: bytes of the body. digest: of them.
    """

    begun: bool = False
    count: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def add(self, data: bytes) -> None:
        """Note bytes that are sent."""
        self.begun = True
        self.count += len(data)
        self.digest.update(data)


@dataclass
class RepeatedAnswer:
    """An answer that is made once more: what was sent of it before is left out.

    Attributes:
        count, sent: bytes that were sent before, and the digest of them.
    """

    count: int
    sent: bytes
    seen: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def unsent(self, data: bytes) -> bytes:
        """Return the bytes that the client does not have.

        Raises:
            BrokenStreamError: the answer is not what it was.
        """
        if self.seen == self.count:
            return data
        known = data[: self.count - self.seen]
        self.seen += len(known)
        self.digest.update(known)
        if self.seen == self.count and self.digest.digest() != self.sent:
            raise BrokenStreamError("the answer is another one than before its replica ended")
        return data[len(known) :]


class FrontApp:
    """ASGI application that answers by replicas.

    Args:
        written: is told the tokens that were written for the key of its context.
    """

    def __init__(self, replicas: Replicas, written: Callable[[int], None]) -> None:
        self._replicas, self._written = replicas, written
        self.running: set[asyncio.Task[None]] = set()
        self.stopping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/health":
            await JSONResponse({"status": "ok"})(scope, receive, send)
            return
        if self.stopping and scope["path"] == "/ready":
            await JSONResponse({"status": "stopping"}, 503)(scope, receive, send)
            return
        body = await _whole_body(receive)
        if body is None:
            return
        call = Call(
            scope["method"],
            scope["path"],
            scope.get("query_string", b""),
            passed_headers(scope["headers"]),
            body,
            current_key.get(),
            secrets.token_bytes(32),
            time.time(),
            prefixes_of(scope["path"], body),
        )
        answering = asyncio.create_task(self._answer(call, scope, receive, send))
        self.running.add(answering)
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
            self.running.discard(answering)
            await self._replicas.forget(call)

    async def _answer(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        sent = SentAnswer()
        for pause in (*PAUSES, None):
            try:
                await self._once(call, scope, sent, send)
                return
            except ReplicaLostError:
                log.warning("a replica ended; a request is asked again")
                if pause is None:
                    break
                await asyncio.sleep(pause)
        if sent.begun:
            raise BrokenStreamError(f"{TRIES} replicas ended under one request")
        body = error_body("the replicas that answered have ended: try again later", "api_error")
        await json_error(call.path, 503, body, {"Retry-After": "5"})(scope, receive, send)

    async def _once(self, call: Call, scope: Scope, sent: SentAnswer, send: Send) -> None:
        """Ask a replica, and send what the client does not have."""
        head: Message | None = None
        repeated = RepeatedAnswer(sent.count, sent.digest.digest())
        async for part in self._replicas.answer(call):
            if part.tokens:
                self._written(part.tokens)
            if part.status:
                scope["route"] = SimpleNamespace(path=part.route)  # for the metrics
                head = _head(part)
            elif data := repeated.unsent(part.body):
                if not sent.begun and head is not None:
                    # Held back until now: an answer that has not begun can be another one.
                    await send(head)
                sent.add(data)
                await send({"type": "http.response.body", "body": data, "more_body": True})
        if not sent.begun and head is not None:
            await send(head)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _head(part: AnswerPart) -> Message:
    headers = list(part.headers)
    return {"type": "http.response.start", "status": part.status, "headers": headers}


async def _whole_body(receive: Receive) -> bytes | None:
    """Return the body of a request; None where the client has left."""
    parts = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(parts)


async def _left(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def ended(tasks: Callable[[], set[asyncio.Task[None]]], seconds: float) -> None:
    """Wait until no task runs, or the time is over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while running := tasks():
                await asyncio.wait(running)
