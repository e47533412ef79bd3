"""JSON bodies: read so that none of them holds up the other requests.

To parse a body, and to check it against a schema, holds the interpreter for as long as it has
values. They are therefore counted before: over the bytes, by numpy, in a thread.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.exceptions import HTTPException

from redraft.server.json_text import JsonAnswer
from redraft.server.openai.schemas import MAX_FIELDS
from redraft.server.runtime.lanes import note_size
from redraft.text.json_counts import MAX_PARTS, MAX_TEXTS, MAX_VALUES, MAX_WRITTEN, SMALL, counted

THREADS = 2
# What a number looks like, perhaps, that becomes infinite as a float.
HUGE_LENGTH = 200
HUGE_NUMBER = re.compile(rb"[0-9][eE]\+?[0-9]{3}|[0-9]{200}")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def parsed(body: bytes) -> Any:
    """Return the value of a body.

    Raises:
        ValueError: it is no JSON, or a number is infinite or NaN. HTTPException: it has too many
            values or fields.
    """
    if len(body) > SMALL and counted(body).is_too_much:
        raise HTTPException(
            413,
            f"a request may have {MAX_VALUES} values, {MAX_PARTS} lists, objects and members, "
            f"{MAX_TEXTS} texts, and {MAX_WRITTEN} bytes that are escaped or not ASCII",
        )
    try:
        # A tenth of the time of `json` for long texts.
        found = from_json(body, allow_inf_nan=False)
    except ValueError:
        # Its errors are told.
        found = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse)
    if isinstance(found, dict) and len(found) > MAX_FIELDS:
        # Not left to the check against a schema, which looks at each in the event loop.
        raise HTTPException(413, f"a request may have {MAX_FIELDS} fields, not {len(found)}")
    if _has_huge_number(body) and not _is_finite(found):
        _refuse("a number that no float holds")
    return found


def _has_huge_number(body: bytes) -> bool:
    """Return True where HUGE_NUMBER is found. A search holds the interpreter: it goes by slices."""
    starts = range(0, len(body), SMALL)
    return any(HUGE_NUMBER.search(body, at, at + SMALL + HUGE_LENGTH) for at in starts)


def _refuse(constant: str) -> NoReturn:
    raise json.JSONDecodeError(f"{constant} is no value in JSON", "", 0)


def _is_finite(value: Any) -> bool:
    """Return False where a value has a number in it that is infinite."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, float) and not math.isfinite(one):
            return False
    return True


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
            note_size(len(body))
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
    return APIRouter(route_class=JsonRoute, default_response_class=JsonAnswer, **options)
