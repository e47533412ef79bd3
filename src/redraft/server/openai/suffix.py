"""Suffix: a completion between a prompt and a suffix, filled in from both sides."""

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
from redraft.server.openai.response import OpenAIResponse
from redraft.server.openai.schemas import CompletionRequest
from redraft.server.openai.translate import Translation
from redraft.server.routes.infill import usage
from redraft.server.runtime.registry import HostedModel
from redraft.server.runtime.sse import stream_response, while_connected


async def suffix_answer(hosted: HostedModel, body: CompletionRequest, request: Request) -> Response:
    """Return a completion with a suffix: whole, or as a stream of one delta."""
    whole = OpenAIResponse("text_completion", body.model, hosted.model.tokenizer, Translation([]))
    chunks = _chunks(hosted, body, whole)
    if body.stream:
        return await stream_response(request, chunks)
    return JSONResponse(await while_connected(request, _joined(chunks)))


async def _chunks(
    hosted: HostedModel, body: CompletionRequest, whole: OpenAIResponse
) -> AsyncGenerator[dict[str, Any], None]:
    if not isinstance(body.prompt, str) or not body.suffix or body.n != 1:
        raise RequestError("with a suffix the prompt is a text, and there is one answer")
    if body.stop or body.logprobs is not None or body.method != "diffusion":
        raise RequestError("stop, logprobs and method mean nothing with a suffix: leave them out")
    if not body.add_special_tokens:
        raise RequestError("with a suffix the prompt has its special tokens: leave it at true")
    options = body.settings() | body.strategies()
    template = Template.of(
        [body.prompt, Hole(1, options.pop("max_new_tokens", MAX_TOKENS)), body.suffix]
    )

    def plan() -> Work:
        return plan_infill(hosted.model.processor, template, None, cast(InfillOptions, options))

    async with aclosing(hosted.infill(plan, body.timeout, drafts=False)) as events:
        (filled,) = [event async for event in events if isinstance(event, Infilled)]
    yield whole.chunk(
        [{"index": 0, "text": filled.fills[0], "finish_reason": "stop", "logprobs": None}]
    )
    if body.stream_options.include_usage or not body.stream:
        yield whole.chunk([]) | {
            "usage": await run_in_threadpool(usage, hosted, body.prompt + body.suffix, filled)
        }


async def _joined(chunks: AsyncGenerator[dict[str, Any], None]) -> dict[str, Any]:
    async with aclosing(chunks):
        text, last = [chunk async for chunk in chunks]
    return last | {"choices": text["choices"]}
