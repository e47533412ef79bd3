"""Refusals: what is wrong, in OpenAI's shape; no path, no stack."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from redraft.errors import (
    ConstraintUnsatisfiedError,
    ContextLengthError,
    MemoryLimitError,
    RedraftError,
    RequestError,
)
from redraft.server.openai.schemas import ErrorAnswer
from redraft.server.runtime.event_queue import DeadlineError
from redraft.server.runtime.store import ConflictError
from redraft.server.runtime.worker import BusyError

STATUSES = {
    400: "What is wrong with the request.",
    401: "The API key is missing or wrong.",
    403: "The request comes from another site's page.",
    404: "The model, the session or the page is not here.",
    408: "The answer took longer than the request would wait.",
    409: "The text was changed by another meanwhile.",
    411: "The request does not say how long it is.",
    413: "The request is too large.",
    422: "Never sent: what is wrong with a request is told with 400.",
    429: "Too many requests wait.",
    500: "The request failed inside the server.",
}
WRONG = "invalid_request_error"
# Status, type and code by kind of error; the first that fits.
KINDS: tuple[tuple[type[Exception], int, str, str | None], ...] = (
    (BusyError, 429, "rate_limit_error", "server_busy"),
    (DeadlineError, 408, "timeout_error", "deadline"),
    (ConflictError, 409, WRONG, "conflict"),
    (ContextLengthError, 400, WRONG, "context_length_exceeded"),
    (MemoryLimitError, 400, WRONG, "memory_exceeded"),
    (ConstraintUnsatisfiedError, 400, WRONG, "constraint_unsatisfied"),
    (RequestError, 400, WRONG, None),
)
log = logging.getLogger("redraft.server")


class NotHereError(RequestError):
    """What is asked for is not here. kind: what it would be."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


def error_body(
    message: str, kind: str, code: str | None = None, param: str | None = None
) -> dict[str, dict[str, str | None]]:
    """An error in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def told(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and body of an error; one that nobody expected is logged."""
    if isinstance(error, NotHereError):
        return 404, error_body(str(error), WRONG, f"{error.kind}_not_found", error.kind)
    for kind, status, name, code in KINDS:
        if isinstance(error, kind):
            return status, error_body(str(error), name, code)
    if isinstance(error, RedraftError) and isinstance(error, ValueError):
        return 400, error_body(str(error), WRONG)
    log.error("a request failed", exc_info=error)
    return 500, error_body("the request failed inside the server", "server_error")


def descriptions() -> dict[int | str, dict[str, Any]]:
    """The refusals, for the description of the routes."""
    return {
        status: {"model": ErrorAnswer, "description": words} for status, words in STATUSES.items()
    }


def explain(app: FastAPI) -> None:
    """Have an application answer errors so."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return JSONResponse(error_body(f"{where}: {first['msg']}", WRONG, param=where), 400)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return JSONResponse(error_body(str(error.detail), WRONG), error.status_code, error.headers)

    async def failed(_: Request, error: Exception) -> Response:
        status, body = told(error)
        return JSONResponse(body, status, {"Retry-After": "1"} if status == 429 else None)

    app.add_exception_handler(RedraftError, failed)
    app.add_exception_handler(Exception, failed)
