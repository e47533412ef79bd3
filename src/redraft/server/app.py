"""The application: routes, who may call them, and errors in OpenAI's shape."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from redraft import __version__
from redraft.editing import Hole, Model
from redraft.editing.template import MOST_TOKENS
from redraft.errors import ConstraintUnsatisfiedError, ContextLengthError, RedraftError, RequestError
from redraft.events import Event, Finished
from redraft.server import filling
from redraft.server.answers import Answer, raised
from redraft.server.filling import EditRequest, InfillRequest
from redraft.server.guard import Guard, error_body
from redraft.server.jobs import Job, chat_job, completion_job
from redraft.server.meter import Meter
from redraft.server.wire import ChatRequest, CompletionRequest, ErrorAnswer, TokenizeRequest
from redraft.server.worker import BusyError, DeadlineError, Worker

STATUSES = {
    400: "What is wrong with the request.",
    401: "The API key is missing or wrong.",
    404: "The model is not served here.",
    408: "The answer took longer than the request would wait.",
    411: "The request does not say how long it is.",
    413: "The request is too large.",
    422: "Never sent: what is wrong with a request is told with 400.",
    429: "Too many requests wait.",
    500: "The request failed inside the server.",
}
PATIENCE = 0.2  # seconds between two looks at whether a client is still there
Found = TypeVar("Found")
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
        app.state.fills = anyio.CapacityLimiter(1)
        worker = Worker(model.network, model.tokenizer, max_batch_size=given.max_batch_size, max_waiting=given.max_waiting)
        app.state.worker = worker
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(worker.close, limiter=anyio.CapacityLimiter(1))

    answers: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": words} for status, words in STATUSES.items()
    }
    app = FastAPI(title="redraft", version=__version__, lifespan=lifespan, responses=answers)
    meter = Meter(lambda: app.state.worker.load)
    _Routes(app, model, given, meter)
    app.get("/metrics", include_in_schema=False)(meter.page)
    app.add_middleware(Guard, meter=meter, api_key=given.api_key, max_body=given.max_body)
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
        streams: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}, "application/json": {}}}}
        app.post("/v1/chat/completions", response_model=None, responses=streams)(self.chat)
        app.post("/v1/completions", response_model=None, responses=streams)(self.complete)
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

    async def chat(self, asked: ChatRequest, request: Request) -> Response:
        self._check_model(asked.model)
        job = await run_in_threadpool(chat_job, self.model, asked)
        return await self._answer(Answer("chat.completion", asked.model, self.model.tokenizer, job), asked, request)

    async def complete(self, asked: CompletionRequest, request: Request) -> Response:
        self._check_model(asked.model)
        if asked.suffix:
            return await self._fill(self._between, asked)
        job = await run_in_threadpool(completion_job, self.model, asked)
        return await self._answer(Answer("text_completion", asked.model, self.model.tokenizer, job), asked, request)

    async def infill(self, asked: InfillRequest) -> dict[str, Any]:
        self._check_model(asked.model)
        return await self._fill(filling.infill, self.model, asked)

    async def edit(self, asked: EditRequest) -> dict[str, Any]:
        self._check_model(asked.model)
        return await self._fill(filling.edit, self.model, asked)

    async def _fill(self, work: Callable[..., Found], *arguments: Any) -> Found:
        """Work that fills holes: one at a time, beside the batch."""
        limiter: anyio.CapacityLimiter = self.app.state.fills
        if limiter.statistics().tasks_waiting >= self.settings.max_waiting:
            raise BusyError("too many holes wait to be filled: try again later")
        return await anyio.to_thread.run_sync(work, *arguments, limiter=limiter)

    async def tokenize(self, asked: TokenizeRequest) -> dict[str, Any]:
        self._check_model(asked.model)
        if self.model.tokenizer is None:
            raise RequestError("this checkpoint has no tokenizer")
        tokens, parts = await run_in_threadpool(self.model.tokenizer.spell, asked.text)
        return {"tokens": tokens, "texts": parts, "count": len(tokens)}

    def _between(self, asked: CompletionRequest) -> Response:
        """A text between a prompt and its suffix, filled from both sides."""
        if not isinstance(asked.prompt, str) or not asked.suffix or asked.n != 1 or asked.stream:
            raise RequestError("with a suffix the prompt is a text, and there is one answer, not in a stream")
        if asked.stop or asked.timeout:
            raise RequestError("stop and timeout mean nothing with a suffix: leave them out")
        options = asked.settings()
        hole = Hole(1, options.pop("max_new_tokens", MOST_TOKENS))
        filled = self.model.infill([asked.prompt, hole, asked.suffix], **options)
        answer = Answer("text_completion", asked.model, self.model.tokenizer, Job([]))
        choice = {"index": 0, "text": filled.fills[0], "finish_reason": "stop", "logprobs": None}
        assert self.model.tokenizer is not None
        read, written = (len(self.model.tokenizer.encode(text)) for text in (asked.prompt + asked.suffix, filled.fills[0]))
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        steps = [[candidate.steps for candidate in filled.candidates]]
        return JSONResponse(answer.whole() | {"choices": [choice], "usage": answer.usage() | usage | {"steps": steps}})

    async def _answer(self, answer: Answer, asked: ChatRequest | CompletionRequest, request: Request) -> Response:
        drafts = asked.stream and asked.stream_options.include_drafts
        events = self._events(answer.job, asked.timeout, drafts)
        if not asked.stream:
            await _unless_gone(request, self._collect(answer, events))
            return JSONResponse(answer.whole())
        # What is wrong with the request is told before the stream begins.
        first = await _unless_gone(request, anext(events))
        chunks = answer.chunks(_again(first, events), usage=asked.stream_options.include_usage, drafts=drafts)
        return StreamingResponse(_sent(chunks, events), media_type="text/event-stream")

    async def _collect(self, answer: Answer, events: AsyncGenerator[tuple[int, Event], None]) -> None:
        """All choices of an answer."""
        async with aclosing(events):
            async for index, event in events:
                if isinstance(event, Finished):
                    answer.ended[index] = event

    async def _events(self, job: Job, seconds: float | None, drafts: bool) -> AsyncGenerator[tuple[int, Event], None]:
        """Events with the index of their choice."""
        async with aclosing(self.app.state.worker.events(job.requests, seconds, drafts=drafts)) as events:
            async for index, event in events:
                if isinstance(event, Finished):
                    self.meter.count(event.statistics)
                yield index, raised(event)

    def _check_model(self, name: str) -> None:
        if name != self.settings.name:
            raise HTTPException(404, f"the model {name!r} is not served here: {self.settings.name!r} is")


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Found] | Awaitable[Found]) -> Found:
    """What some work gives; it is cancelled where the client leaves before."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=PATIENCE))[0]:
            if await request.is_disconnected():
                raise HTTPException(499, "the client has left")
        return task.result()
    finally:
        task.cancel()


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
            status, body = _error(error)
            if status >= 500:
                log.exception("a stream failed")
            yield f"data: {json.dumps(body)}\n\n"
        yield "data: [DONE]\n\n"


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
        return 429, error_body(str(error), "rate_limit_error", "server_busy", None)
    if isinstance(error, DeadlineError):
        return 408, error_body(str(error), "timeout_error", "deadline", None)
    if isinstance(error, RequestError | ValueError) and isinstance(error, RedraftError):
        code = next((code for kind, code in CODES.items() if isinstance(error, kind)), None)
        return 400, error_body(str(error), "invalid_request_error", code, None)
    return 500, error_body("the request failed inside the server", "server_error", None, None)


def _reply(status: int, message: str, kind: str, code: str | None, param: str | None = None) -> Response:
    return JSONResponse(error_body(message, kind, code, param), status)
