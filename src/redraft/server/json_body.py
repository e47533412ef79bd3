"""JSON bodies: read so that none of them holds up the other requests.

To parse a body, and to check it against a schema, holds the interpreter for as long as it has
values. They are therefore counted before: over the bytes, by numpy, in a thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
import numpy as np
from anyio.lowlevel import RunVar
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from numpy.typing import NDArray
from pydantic_core import from_json
from starlette.exceptions import HTTPException

# A body of so many bytes has few values, and is not counted.
SMALL = 64 << 10
# Values of a body: numbers, texts and everything else that stands in a list or has a name. Parts:
# lists, objects, and members of objects. Written: bytes that are not ASCII, and four an escape.
MAX_VALUES, MAX_PARTS, MAX_WRITTEN = 512 << 10, 128 << 10, 4 << 20
SLICE = 1 << 20  # bytes that are counted at a time
THREADS = 2
QUOTE, BACKSLASH, COMMA, COLON = b'"\\,:'
OPENING = ord("{")  # and, but for one bit, "["

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass
class Counts:
    """What a body holds, as far as it was counted; see MAX_VALUES."""

    values: int = 0
    parts: int = 0
    written: int = 0

    @property
    def is_too_much(self) -> bool:
        """True where the body is refused."""
        return self.values > MAX_VALUES or self.parts > MAX_PARTS or self.written > MAX_WRITTEN


def counted(body: bytes) -> Counts:
    """Count a body's values, up to a limit: what stands in texts is none."""
    found = Counts()
    whole = np.frombuffer(body, np.uint8)
    first, quoted = 0, np.False_
    while first < len(body) and not found.is_too_much:
        last = min(first + SLICE, len(body))
        while last < len(body) and body[last - 1] == BACKSLASH:
            last += 1  # a slice ends behind what is escaped
        part = whole[first:last]
        escapes = np.flatnonzero(part == BACKSLASH)
        found.written += 4 * len(escapes) + int(np.count_nonzero(part >= 128))
        quotes = part == QUOTE
        if len(escapes) and not found.is_too_much:
            quotes &= ~_escaped(escapes, len(part))
        inside = np.logical_xor.accumulate(quotes) ^ quoted
        quoted = inside[-1]
        _count_outside(found, part[~inside])
        first = last
    return found


def _count_outside(found: Counts, part: Bytes) -> None:
    """Count what stands outside of texts."""
    opened = int(np.count_nonzero(part | 0x20 == OPENING))
    members = int(np.count_nonzero(part == COLON))
    found.values += int(np.count_nonzero(part == COMMA)) + opened
    found.parts += opened + members


def _escaped(escapes: NDArray[np.intp], length: int) -> Mask:
    """Return which bytes are escaped: those behind an odd number of backslashes.

    Args:
        escapes: where backslashes stand.
    """
    starts = np.flatnonzero(np.diff(escapes, prepend=-2) != 1)
    run = np.zeros(len(escapes), dtype=np.intp)
    run[starts] = np.diff(starts, prepend=0)
    within = np.arange(len(escapes)) - np.cumsum(run)
    found = np.zeros(length + 1, dtype=np.bool_)
    found[escapes[within % 2 == 0] + 1] = True
    return found[:length]


def parsed(body: bytes) -> Any:
    """Return the value of a body.

    Raises:
        ValueError: it is no JSON. HTTPException: it has too many values.
    """
    if len(body) > SMALL and counted(body).is_too_much:
        raise HTTPException(
            413,
            f"a request may have {MAX_VALUES} values, {MAX_PARTS} lists, objects and members, and "
            f"{MAX_WRITTEN} bytes that are escaped or not ASCII",
        )
    try:
        return from_json(body)  # a tenth of the time of `json` for long texts
    except ValueError:
        return json.loads(body.decode("utf-8-sig"))  # its errors are told


_limiters: RunVar[anyio.CapacityLimiter] = RunVar("json_body")  # one an event loop


def _limiter() -> anyio.CapacityLimiter:
    try:
        return _limiters.get()
    except LookupError:
        _limiters.set(found := anyio.CapacityLimiter(THREADS))
        return found


class JsonRequest(Request):
    """A request whose body is parsed by `parsed`."""

    async def json(self) -> Any:
        """Return the value of the body; that of a long one comes from a thread."""
        if not hasattr(self, "_json"):
            body = await self.body()
            if len(body) <= SMALL:
                self._json = parsed(body)
            else:
                self._json = await anyio.to_thread.run_sync(parsed, body, limiter=_limiter())
        return self._json


class JsonRoute(APIRoute):
    """A route whose requests are read in this way."""

    def get_route_handler(self) -> Handler:
        """Return what answers a request."""
        handler = super().get_route_handler()

        async def answered(request: Request) -> Response:
            return await handler(JsonRequest(request.scope, request.receive))

        return answered


def json_router(**options: Any) -> APIRouter:
    """Return a router with such routes; options as for `APIRouter`."""
    return APIRouter(route_class=JsonRoute, **options)
