"""Chat and completions: OpenAI's routes, and what their clients ask besides."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from redraft.errors import RequestError
from redraft.events import Event, Finished
from redraft.server.openai.response import Answer, raised
from redraft.server.openai.schemas import (
    STREAMS,
    ChatRequest,
    Common,
    CompletionRequest,
    TokenizeRequest,
)
from redraft.server.openai.suffix import suffix_answer
from redraft.server.openai.translate import chat_job, completion_job
from redraft.server.runtime.registry import Registry, ServedModel
from redraft.server.runtime.sse import streamed, unless_gone


def chat_routes(models: Registry) -> APIRouter:
    """What OpenAI's clients ask."""
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
            for one in models
        ]
        return {"object": "list", "data": listed}

    @router.post("/v1/chat/completions", response_model=None, responses=STREAMS)
    async def chat(asked: ChatRequest, request: Request) -> Response:
        served = models[asked.model]
        job = await run_in_threadpool(chat_job, served.model, asked)
        return await _answer(
            served,
            Answer("chat.completion", asked.model, served.model.tokenizer, job),
            asked,
            request,
        )

    @router.post("/v1/completions", response_model=None, responses=STREAMS)
    async def complete(asked: CompletionRequest, request: Request) -> Response:
        served = models[asked.model]
        if asked.suffix:
            return await suffix_answer(served, asked, request)
        job = await run_in_threadpool(completion_job, served.model, asked)
        return await _answer(
            served,
            Answer("text_completion", asked.model, served.model.tokenizer, job),
            asked,
            request,
        )

    @router.post("/tokenize")
    async def tokenize(asked: TokenizeRequest) -> dict[str, object]:
        tokenizer = models[asked.model].model.tokenizer
        if tokenizer is None:
            raise RequestError("this checkpoint has no tokenizer")
        tokens, parts = await run_in_threadpool(tokenizer.encode_parts, asked.text)
        return {"tokens": tokens, "texts": parts, "count": len(tokens)}

    return router


async def _answer(served: ServedModel, answer: Answer, asked: Common, request: Request) -> Response:
    wanted = asked.stream_options
    drafts = asked.stream and wanted.include_drafts
    events = _events(served, answer, asked, drafts=drafts)
    if asked.stream:
        return await streamed(
            request, answer.chunks(events, usage=wanted.include_usage, drafts=drafts)
        )
    return JSONResponse(await unless_gone(request, answer.collected(events)))


async def _events(
    served: ServedModel, answer: Answer, asked: Common, *, drafts: bool
) -> AsyncGenerator[tuple[int, Event], None]:
    """Events with the index of their choice. Before a choice ends, its likelihoods are there, where
    they are asked for."""
    requests = answer.job.requests
    ends = None if asked.timeout is None else time.monotonic() + asked.timeout
    if answer.job.likeliest is not None:
        served.check_scoring(requests[0])  # sooner than behind an answer
    async with aclosing(served.write(requests, asked.timeout, drafts=drafts)) as events:
        async for index, event in events:
            told = raised(event)
            if isinstance(told, Finished) and answer.job.likeliest is not None:
                left = None if ends is None else ends - time.monotonic()
                likely = await served.score(
                    requests[index], told.tokens, answer.job.likeliest, left
                )
                answer.likelihoods[index] = likely
            yield index, told
