"""The application: routes, who may call them, and errors in OpenAI's shape."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from redraft import __version__
from redraft.editing import Hole, Model
from redraft.errors import ConstraintUnsatisfiedError, ContextLengthError, RedraftError, RequestError
from redraft.events import Event, Finished
from redraft.server import filling
from redraft.server.answers import Answer, raised
from redraft.server.filling import EditRequest, InfillRequest
from redraft.server.jobs import Job, chat_job, completion_job
from redraft.server.meter import Meter
from redraft.server.wire import ChatRequest, CompletionRequest, ErrorAnswer, TokenizeRequest
from redraft.server.worker import BusyError, DeadlineError, Worker

STATUSES = {
    400: "What is wrong with the request.",
    401: "The API key is missing or wrong.",
    404: "The model is not served here.",
    408: "The answer took longer than the request would wait.",
    413: "The request is too large.",
    422: "Never sent: what is wrong with a request is told with 400.",
    429: "Too many requests wait.",
    500: "The request failed inside the server.",
}
log = logging.getLogger("redraft.server")
CODES = {ContextLengthError: "context_length_exceeded", ConstraintUnsatisfiedError: "constraint_unsatisfied"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """name: what the model is called. api_key: asked of every caller, where there is one. max_body: bytes of a request."""

    name: str = "redraft"
    api_key: str | None = None
    max_batch_size: int = 8
    max_waiting: int = 64
    max_body: int = 4 << 20


def create_app(model: Model, settings: Settings | None = None) -> FastAPI:
    """The application that serves a model."""
    given = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        worker = Worker(model.network, model.tokenizer, max_batch_size=given.max_batch_size, max_waiting=given.max_waiting)
        app.state.worker = worker
        yield
        await run_in_threadpool(worker.close)

    answers: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": words} for status, words in STATUSES.items()
    }
    app = FastAPI(title="redraft", version=__version__, lifespan=lifespan, responses=answers)
    meter = Meter(lambda: app.state.worker.load)
    _Routes(app, model, given, meter)
    _guard(app, given, meter)
    _explain(app)
    return app


class _Routes:
    """What can be asked."""

    def __init__(self, app: FastAPI, model: Model, settings: Settings, meter: Meter) -> None:
        self.app, self.model, self.settings = app, model, settings
        self.started = int(time.time())
        self.meter = meter
        app.get("/health")(self.health)
        app.get("/ready")(self.ready)
        app.get("/v1/models")(self.models)
        app.post("/v1/chat/completions", response_model=None)(self.chat)
        app.post("/v1/completions", response_model=None)(self.complete)
        app.post("/v1/infill")(self.infill)
        app.post("/v1/edits")(self.edit)
        app.post("/tokenize")(self.tokenize)

    async def health(self) -> dict[str, str]:
        return {"status": "ok"}

    async def ready(self) -> dict[str, Any]:
        return {"status": "ready", "requests": self.app.state.worker.load}

    async def models(self) -> dict[str, Any]:
        one = {"id": self.settings.name, "object": "model", "created": self.started, "owned_by": "redraft"}
        return {"object": "list", "data": [one]}

    async def chat(self, asked: ChatRequest) -> Response:
        self._check_model(asked.model)
        job = await run_in_threadpool(chat_job, self.model, asked)
        return await self._answer(Answer("chat.completion", asked.model, self.model.tokenizer, job), asked)

    async def complete(self, asked: CompletionRequest) -> Response:
        self._check_model(asked.model)
        if asked.suffix:
            return await run_in_threadpool(self._between, asked)
        job = await run_in_threadpool(completion_job, self.model, asked)
        return await self._answer(Answer("text_completion", asked.model, self.model.tokenizer, job), asked)

    async def infill(self, asked: InfillRequest) -> dict[str, Any]:
        self._check_model(asked.model)
        return await run_in_threadpool(filling.infill, self.model, asked)

    async def edit(self, asked: EditRequest) -> dict[str, Any]:
        self._check_model(asked.model)
        return await run_in_threadpool(filling.edit, self.model, asked)

    async def tokenize(self, asked: TokenizeRequest) -> dict[str, Any]:
        self._check_model(asked.model)
        if self.model.tokenizer is None:
            raise RequestError("this checkpoint has no tokenizer")
        tokens, parts = self.model.tokenizer.spell(asked.text)
        return {"tokens": tokens, "texts": parts, "count": len(tokens)}

    def _between(self, asked: CompletionRequest) -> Response:
        """A text between a prompt and its suffix, filled from both sides."""
        if not isinstance(asked.prompt, str) or asked.n != 1 or asked.stream:
            raise RequestError("with a suffix the prompt is a text, and there is one answer, not in a stream")
        options = asked.settings()
        hole = Hole(1, options.pop("max_new_tokens", 24))
        options.pop("stop", None)
        filled = self.model.infill([asked.prompt, hole, asked.suffix or ""], **options)
        answer = Answer("text_completion", asked.model, self.model.tokenizer, Job([]))
        choice = {"index": 0, "text": filled.fills[0], "finish_reason": "stop", "logprobs": None}
        steps = filled.candidates[0].steps
        return JSONResponse(answer.whole() | {"choices": [choice], "usage": answer.usage() | {"steps": [[steps]]}})

    async def _answer(self, answer: Answer, asked: ChatRequest | CompletionRequest) -> Response:
        events = self._events(answer.job, asked.timeout)
        if not asked.stream:
            async with aclosing(events):
                async for index, event in events:
                    if isinstance(event, Finished):
                        answer.ended[index] = event
            return JSONResponse(answer.whole())
        options = asked.stream_options
        first = await anext(events)  # what is wrong with the request is told before the stream begins
        chunks = answer.chunks(_again(first, events), usage=options.include_usage, drafts=options.include_drafts)
        return StreamingResponse(_sent(chunks, events), media_type="text/event-stream")

    async def _events(self, job: Job, seconds: float | None) -> AsyncGenerator[tuple[int, Event], None]:
        """Events with the index of their choice."""
        async with aclosing(self.app.state.worker.events(job.requests, seconds)) as events:
            async for index, event in events:
                if isinstance(event, Finished):
                    self.meter.count(event.statistics)
                yield index, raised(event)

    def _check_model(self, name: str) -> None:
        if name != self.settings.name:
            raise HTTPException(404, f"the model {name!r} is not served here: {self.settings.name!r} is")


async def _again(first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[Any]:
    yield first
    async for one in rest:
        yield one


async def _sent(chunks: AsyncIterator[dict[str, Any]], events: Any) -> AsyncIterator[str]:
    """Chunks as server-sent events; an error in their midst is the last of them."""
    async with aclosing(events):
        try:
            async for chunk in chunks:
                yield f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
        except Exception as error:
            log.exception("a stream failed")
            yield f"data: {json.dumps(_error(error)[1])}\n\n"
        yield "data: [DONE]\n\n"


def _guard(app: FastAPI, settings: Settings, meter: Meter) -> None:
    """Who may call, and with how much; every call is counted."""
    app.get("/metrics", include_in_schema=False)(meter.page)

    @app.middleware("http")
    async def check(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        if settings.api_key is not None and request.url.path not in ("/health", "/ready"):
            key = request.headers.get("authorization", "").removeprefix("Bearer ")
            if not secrets.compare_digest(key.encode(), settings.api_key.encode()):
                return _reply(401, "the API key is missing or wrong", "authentication_error", "invalid_api_key")
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > settings.max_body:
            return _reply(413, f"a request may have {settings.max_body} bytes", "invalid_request_error", "too_large")
        response = await call_next(request)
        route = request.scope.get("route")
        meter.answered(getattr(route, "path", "other"), response.status_code)
        return response


def _explain(app: FastAPI) -> None:
    """Errors as OpenAI's clients read them; no path, no stack."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return _reply(400, f"{where}: {first['msg']}", "invalid_request_error", None, where)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return _reply(error.status_code, str(error.detail), "invalid_request_error", None)

    async def failed(_: Request, error: Exception) -> Response:
        status, body = _error(error)
        if status >= 500:
            log.error("a request failed", exc_info=error)
        headers = {"Retry-After": "1"} if isinstance(error, BusyError) else None
        return JSONResponse(body, status, headers)

    app.add_exception_handler(RedraftError, failed)
    app.add_exception_handler(Exception, failed)


def _error(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and body of an error."""
    if isinstance(error, BusyError):
        return 429, _body(str(error), "rate_limit_error", "server_busy", None)
    if isinstance(error, DeadlineError):
        return 408, _body(str(error), "timeout_error", "deadline", None)
    if isinstance(error, RequestError | ValueError) and isinstance(error, RedraftError):
        code = next((code for kind, code in CODES.items() if isinstance(error, kind)), None)
        return 400, _body(str(error), "invalid_request_error", code, None)
    return 500, _body("the request failed inside the server", "server_error", None, None)


def _body(message: str, kind: str, code: str | None, param: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _reply(status: int, message: str, kind: str, code: str | None, param: str | None = None) -> Response:
    return JSONResponse(_body(message, kind, code, param), status)
