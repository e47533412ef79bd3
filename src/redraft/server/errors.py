"""Errors of the HTTP API, in the shape of each dialect; without paths and stack traces."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from redraft.errors import (
    ConstraintUnsatisfiedError,
    ContextLengthError,
    MemoryLimitError,
    RedraftError,
    RequestError,
)
from redraft.server.dialects import dialect_of, error_in
from redraft.server.json_object import JsonObject
from redraft.server.json_text import JsonAnswer
from redraft.server.openai.schemas import ErrorAnswer
from redraft.server.runtime.compiler import CompilerUnavailableError
from redraft.server.runtime.database import StateBusyError, StateFileError, StateFullError
from redraft.server.runtime.event_queue import DeadlineError
from redraft.server.runtime.store import ConflictError
from redraft.server.runtime.worker import BusyError, ShuttingDownError

STATUSES = {
    400: "The request is invalid; the message says why.",
    401: "The API key is missing or wrong.",
    403: "Cross-origin requests are refused.",
    404: "The model, the session, the page or the route does not exist.",
    408: "The answer took longer than the request's timeout, or the server's.",
    409: "Another request has changed the text meanwhile.",
    413: "The request is too large.",
    422: "Never sent: what is wrong with a request is error_response with 400.",
    429: "The waiting queue is full.",
    500: "The request failed inside the server.",
    503: "The server is shutting down, its requests have too many bytes, the state file is locked "
    "by another program, or the system starts no process.",
    507: "Sessions and pages have reached their limit, or the disk is full.",
}
INVALID_REQUEST = "invalid_request_error"
# Status, type and code by class of error; the first that matches.
KINDS: tuple[tuple[type[Exception], int, str, str | None], ...] = (
    (BusyError, 429, "rate_limit_error", "server_busy"),
    (ShuttingDownError, 503, "server_error", "shutting_down"),
    (DeadlineError, 408, "timeout_error", "deadline"),
    (CompilerUnavailableError, 503, "server_error", "compiler_unavailable"),
    (ConflictError, 409, INVALID_REQUEST, "conflict"),
    (StateBusyError, 503, "server_error", "state_busy"),
    (StateFullError, 507, "server_error", "state_full"),
    (StateFileError, 500, "server_error", "state_file"),
    (ContextLengthError, 400, INVALID_REQUEST, "context_length_exceeded"),
    (MemoryLimitError, 400, INVALID_REQUEST, "memory_exceeded"),
    (ConstraintUnsatisfiedError, 400, INVALID_REQUEST, "constraint_unsatisfied"),
    (RequestError, 400, INVALID_REQUEST, None),
)
# Headers of some answers. OpenAI's clients ask again after 408 and 5xx, unless the answer says that
# it is of no use: the same work would take the same time.
HEADERS = {
    408: {"x-should-retry": "false"},
    503: {"Retry-After": "1"},
    507: {"x-should-retry": "false"},
}
log = logging.getLogger("redraft.server")
# Characters of a message.
MAX_MESSAGE = 2000


class NotHereError(RequestError):
    """A model, session or page does not exist; `kind` says which of them."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


def error_body(
    message: str, kind: str, code: str | None = None, param: str | None = None
) -> dict[str, dict[str, str | None]]:
    """Return an error in OpenAI's shape.

    Halves of surrogate pairs, which a request can hold and UTF-8 cannot, are written as escapes.
    Messages quote what was sent, which may be long: only their start is told.
    """

    def plain(text: str | None) -> str | None:
        if text is None:
            return None
        more = f" ... ({len(text)} characters)" if len(text) > MAX_MESSAGE else ""
        return text[:MAX_MESSAGE].encode("utf-8", "backslashreplace").decode() + more

    return {"error": {"message": plain(message), "type": kind, "param": plain(param), "code": code}}


def error_response(error: Exception) -> tuple[int, JsonObject]:
    """Return status and body for an error; an unexpected one is logged."""
    if isinstance(error, NotHereError):
        return 404, error_body(str(error), INVALID_REQUEST, f"{error.kind}_not_found", error.kind)
    for kind, status, name, code in KINDS:
        if isinstance(error, kind):
            return status, error_body(str(error), name, code)
    if isinstance(error, RedraftError) and isinstance(error, ValueError):
        return 400, error_body(str(error), INVALID_REQUEST)
    log.error("a request failed", exc_info=error)
    return 500, error_body("the request failed inside the server", "server_error")


def descriptions(model: type[BaseModel] = ErrorAnswer) -> dict[int | str, JsonObject]:
    """Return the error answers, for the OpenAPI description of the routes of a dialect."""
    return {status: {"model": model, "description": words} for status, words in STATUSES.items()}


def validation_message(error: ValidationError | RequestValidationError) -> tuple[str, str]:
    """Return what is wrong with the fields of a request, and the name of the first such field."""
    first = error.errors()[0]
    place = first["loc"][1:] if isinstance(error, RequestValidationError) else first["loc"]
    where = ".".join(str(part) for part in place)
    return f"{where}: {first['msg']}" if where else str(first["msg"]), where


def json_error(
    path: str, status: int, body: JsonObject, headers: Mapping[str, str] | None = None
) -> JsonAnswer:
    """Return the answer that tells an error to a client of the dialect at `path`."""
    return JsonAnswer(error_in(dialect_of(path), status, body), status, headers)


def explain(app: FastAPI) -> None:
    """Make an application answer errors in the shape of each dialect."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        message, where = validation_message(error)
        kind = request.headers.get("content-type")
        if not where and (kind is None or "json" not in kind):
            named = "none" if kind is None else repr(kind)
            message = f"the body needs the content type application/json: its own is {named}"
        body = error_body(message, INVALID_REQUEST, param=where)
        return json_error(request.scope["path"], 400, body)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        code = "server_busy" if error.status_code == 503 else None
        body = error_body(str(error.detail), "server_error" if code else INVALID_REQUEST, code)
        return json_error(request.scope["path"], error.status_code, body, error.headers)

    async def failed(request: Request, error: Exception) -> Response:
        status, body = error_response(error)
        headers = HEADERS.get(status)
        if isinstance(error, BusyError):
            headers = {"Retry-After": str(error.retry_after)}
        return json_error(request.scope["path"], status, body, headers)

    app.add_exception_handler(RedraftError, failed)
    app.add_exception_handler(Exception, failed)
