"""Door: reads a request, chooses where it goes, and hands the answer on as it comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from redraft.cluster.replica import Asked, Head
from redraft.cluster.routing import is_kept, routing_key
from redraft.server.errors import INVALID_REQUEST, error_body

log = logging.getLogger("redraft.server")
# Replicas that may be lost under one request, before anything of its answer was sent.
ATTEMPTS = 5
PAUSE = 0.2
# Headers of one connection, which are not those of the next.
OWN = (b"connection", b"keep-alive", b"transfer-encoding", b"content-length")


class Door:
    """The HTTP side of the replicas.

    Args:
        replicas, keeper: handles of deployments of `Replica`; the keeper has the state.
        max_body: bytes of a request.
    """

    def __init__(self, replicas: Any, keeper: Any, max_body: int) -> None:
        self._replicas, self._keeper, self._max_body = replicas, keeper, max_body

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        try:
            body = await self._body(request)
        except ClientDisconnect:
            return Response(status_code=400)
        if body is None:
            text = f"a request may have at most {self._max_body} bytes"
            return JSONResponse(error_body(text, INVALID_REQUEST), 413)
        path, client = request.url.path, request.client
        asked = Asked(
            request.method,
            path,
            request.url.query.encode(),
            list(request.headers.raw),
            body,
            None if client is None else (client.host, client.port),
        )
        target = self._keeper if is_kept(path) else self._replicas
        handle = target.options(stream=True, session_id=routing_key(path, body))
        head, parts = await begun(lambda: handle.answer.remote(asked))
        answer = StreamingResponse(parts, head.status)
        kept = [(name, value) for name, value in head.headers if name.lower() not in OWN[:3]]
        answer.raw_headers = kept
        return answer

    async def _body(self, request: Request) -> bytes | None:
        """Return the body; None where it is too large."""
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > self._max_body:
                return None
            parts.append(part)
        return b"".join(parts)


async def begun(ask: Any, pause: float = PAUSE) -> tuple[Head, AsyncGenerator[bytes, None]]:
    """Return the head of an answer and what comes behind it.

    Where a replica is lost before it has sent the head, the request goes to another: nothing of it
    has reached the client. Behind the head the connection breaks, so that no text is sent twice.
    """
    for attempt in range(ATTEMPTS):
        answer = ask()
        try:
            head = await anext(aiter(answer))
            return head, _rest(answer)
        except Exception as error:
            if not is_lost(error) or attempt == ATTEMPTS - 1:
                raise
            log.warning("a replica was lost: its request goes to another")
            await asyncio.sleep(pause * 2**attempt)
    raise AssertionError


def is_lost(error: Exception) -> bool:
    """Return True for an error of a replica that ended or is not reached."""
    lost = ("ActorDiedError", "ActorUnavailableError", "RayActorError", "ReplicaUnavailableError")
    return any(one.__name__ in lost for one in type(error).__mro__)


async def _rest(answer: Any) -> AsyncGenerator[bytes, None]:
    """Yield the body; cancel the request where the client has left."""
    ended = False
    try:
        async for part in answer:
            yield part
        ended = True
    finally:
        if not ended:
            answer.cancel()
