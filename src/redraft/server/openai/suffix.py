"""Suffix: a completion between two texts, filled in from both sides."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from redraft.editing import Hole, Infilled, Template, plan_infill
from redraft.editing.options import InfillOptions
from redraft.editing.template import MAX_TOKENS
from redraft.engine import Work
from redraft.errors import RequestError
from redraft.server.openai.response import Answer
from redraft.server.openai.schemas import CompletionRequest
from redraft.server.openai.translate import Job
from redraft.server.routes.infill import usage
from redraft.server.runtime.registry import ServedModel
from redraft.server.runtime.sse import streamed, unless_gone


async def suffix_answer(
    served: ServedModel, asked: CompletionRequest, request: Request
) -> Response:
    """What belongs between a prompt and its suffix, as a completion: whole, or in a stream of one
    delta."""
    whole = Answer("text_completion", asked.model, served.model.tokenizer, Job([]))
    chunks = _chunks(served, asked, whole)
    if asked.stream:
        return await streamed(request, chunks)
    return JSONResponse(await unless_gone(request, _joined(chunks)))


async def _chunks(
    served: ServedModel, asked: CompletionRequest, whole: Answer
) -> AsyncGenerator[dict[str, Any], None]:
    if not isinstance(asked.prompt, str) or not asked.suffix or asked.n != 1:
        raise RequestError("with a suffix the prompt is a text, and there is one answer")
    if asked.stop or asked.logprobs is not None or asked.method != "diffusion":
        raise RequestError("stop, logprobs and method mean nothing with a suffix: leave them out")
    options = asked.settings()
    template = Template.of(
        [asked.prompt, Hole(1, options.pop("max_new_tokens", MAX_TOKENS)), asked.suffix]
    )

    def make() -> Work:
        return plan_infill(served.model.processor, template, None, cast(InfillOptions, options))

    async with aclosing(served.infill(make, asked.timeout, drafts=False)) as events:
        (filled,) = [event async for event in events if isinstance(event, Infilled)]
    yield whole.chunk(
        [{"index": 0, "text": filled.fills[0], "finish_reason": "stop", "logprobs": None}]
    )
    if asked.stream_options.include_usage or not asked.stream:
        yield whole.chunk([]) | {
            "usage": await run_in_threadpool(usage, served, asked.prompt + asked.suffix, filled)
        }


async def _joined(chunks: AsyncGenerator[dict[str, Any], None]) -> dict[str, Any]:
    async with aclosing(chunks):
        text, last = [chunk async for chunk in chunks]
    return last | {"choices": text["choices"]}
