"""OpenAI's routes: models, chat, completions, and tokenize."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from redraft.errors import RequestError
from redraft.events import Event, Finished
from redraft.server.openai.response import OpenAIResponse, raised
from redraft.server.openai.schemas import (
    STREAMS,
    ChatRequest,
    Common,
    CompletionRequest,
    TokenizeRequest,
)
from redraft.server.openai.suffix import suffix_answer
from redraft.server.openai.translate import Translation, translate_chat, translate_completion
from redraft.server.runtime.preparing import time_left
from redraft.server.runtime.registry import HostedModel, Registry
from redraft.server.runtime.sse import stream_response, while_connected


def openai_routes(models: Registry) -> APIRouter:
    """Return OpenAI's routes."""
    router = APIRouter()
    started = int(time.time())

    @router.get("/v1/models")
    async def list_models() -> dict[str, object]:
        listed = [
            {
                "id": one.name,
                "object": "model",
                "created": started,
                "owned_by": "redraft",
                "redraft": one.describe(),
            }
            | ({} if one.parent is None else {"parent": one.parent})
            for one in models
        ]
        return {"object": "list", "data": listed}

    @router.post("/v1/chat/completions", response_model=None, responses=STREAMS)
    async def chat(body: ChatRequest, request: Request) -> Response:
        hosted = models[body.model]
        prepare = partial(translate_chat, hosted.model, body, hosted.tokens_left, hosted.pixels)
        translation = await _prepared(hosted, body, request, prepare)
        return await _answer(
            hosted,
            OpenAIResponse("chat.completion", body.model, hosted.model.tokenizer, translation),
            body,
            request,
        )

    @router.post("/v1/completions", response_model=None, responses=STREAMS)
    async def complete(body: CompletionRequest, request: Request) -> Response:
        hosted = models[body.model]
        if body.suffix:
            return body.noted(await suffix_answer(hosted, body, request))
        prepare = partial(translate_completion, hosted.model, body)
        translation = await _prepared(hosted, body, request, prepare)
        return await _answer(
            hosted,
            OpenAIResponse("text_completion", body.model, hosted.model.tokenizer, translation),
            body,
            request,
        )

    @router.post("/tokenize")
    async def tokenize(body: TokenizeRequest) -> dict[str, object]:
        tokenizer = models[body.model].model.tokenizer
        if tokenizer is None:
            raise RequestError("this checkpoint has no tokenizer")
        tokens, parts = await run_in_threadpool(tokenizer.encode_parts, body.text)
        return {"tokens": tokens, "texts": parts, "count": len(tokens)}

    return router


async def _prepared(
    hosted: HostedModel, body: Common, request: Request, prepare: Callable[[], Translation]
) -> Translation:
    """Return the translation of a request; the time that it takes is the request's."""
    began = time.monotonic()
    constrained = isinstance(body, ChatRequest) and bool(body.response_format or body.tools)
    preparing = hosted.preparing.run(prepare, body.timeout, constrained=constrained)
    found = await while_connected(request, preparing)
    body.timeout = time_left(body.timeout, began)
    return found


async def _answer(
    hosted: HostedModel, answer: OpenAIResponse, body: Common, request: Request
) -> Response:
    options = body.stream_options
    drafts = body.stream and options.include_drafts
    events = _events(hosted, answer, body, drafts=drafts)
    if body.stream:
        chunks = answer.chunks(events, usage=options.include_usage, drafts=drafts)
        return body.noted(await stream_response(request, chunks))
    return body.noted(JSONResponse(await while_connected(request, answer.collected(events))))


async def _events(
    hosted: HostedModel, answer: OpenAIResponse, body: Common, *, drafts: bool
) -> AsyncGenerator[tuple[int, Event], None]:
    """Yield events with the index of their choice.

    Before a choice ends, its log-probabilities are there, where they are requested.
    """
    requests = answer.translation.requests
    began = time.monotonic()
    if answer.translation.top_logprobs_count is not None:
        hosted.check_scoring(requests[0])  # before anything is written
    async with aclosing(hosted.write(requests, body.timeout, drafts=drafts)) as events:
        async for index, event in events:
            ended = raised(event)
            if isinstance(ended, Finished) and answer.translation.top_logprobs_count is not None:
                left = time_left(body.timeout, began)
                likely = await hosted.score(
                    requests[index], ended.tokens, answer.translation.top_logprobs_count, left
                )
                answer.likelihoods[index] = likely
            yield index, ended
