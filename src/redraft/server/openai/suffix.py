"""Suffix: a completion between a prompt and a suffix, filled in from both sides."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import cast

from fastapi import Request, Response

from redraft.editing import Hole, Infilled, Template, plan_infill
from redraft.editing.options import InfillOptions
from redraft.editing.template import MAX_TOKENS
from redraft.errors import RequestError
from redraft.server.json_object import JsonObject
from redraft.server.json_text import json_answer
from redraft.server.openai.completion_schema import CompletionRequest
from redraft.server.openai.response import OpenAIResponse
from redraft.server.openai.translate import Translation
from redraft.server.runtime.registry import HostedModel
from redraft.server.runtime.sse import stream_response, while_connected
from redraft.text import Tokenizer
from redraft.text.stop_strings import before_stop

MAX_FILLS = 16  # choices of one request


async def suffix_answer(hosted: HostedModel, body: CompletionRequest, request: Request) -> Response:
    """Return a completion with a suffix: whole, or as a stream of one delta a choice."""
    whole = OpenAIResponse("text_completion", body.model, hosted.model.tokenizer, Translation([]))
    chunks = _chunks(hosted, body, whole)
    if body.stream:
        return await stream_response(request, chunks)
    return await json_answer(await while_connected(request, _joined(chunks)))


async def _chunks(
    hosted: HostedModel, body: CompletionRequest, whole: OpenAIResponse
) -> AsyncGenerator[JsonObject, None]:
    fills = await _filled(hosted, body)
    stops = body.settings().get("stop") or ()
    choices: list[JsonObject] = []
    for index, filled in enumerate(fills):
        text, _ = before_stop(filled.fills[0], stops)
        reason = {"finish_reason": "stop" if filled.settled else "length"}
        mark = {} if filled.settled else {"settled": False}
        choices.append({"index": index, "text": text, "logprobs": None} | reason | mark)
    if not body.stream:
        yield whole.chunk(choices) | {"usage": await _usage(hosted, body, fills)}
        return
    for choice in choices:
        yield whole.chunk([choice])
    if body.stream_options.include_usage:
        yield whole.chunk([]) | {"usage": await _usage(hosted, body, fills)}


async def _filled(hosted: HostedModel, body: CompletionRequest) -> list[Infilled]:
    """Return one filled text a choice, prompt by prompt. The seeds of a prompt's choices follow.

    Raises:
        RequestError: a field means nothing with a suffix.
    """
    prompts = [prompt for prompt in body.prompts() if isinstance(prompt, str)]
    if len(prompts) < len(body.prompts()) or not body.suffix:
        raise RequestError("with a suffix a prompt is a text")
    if len(prompts) * body.n > MAX_FILLS:
        raise RequestError(f"with a suffix a request has {MAX_FILLS} choices at most")
    if body.logprobs is not None or body.method != "diffusion" or body.echo or body.best_of:
        raise RequestError(
            "logprobs, echo, best_of and method mean nothing with a suffix: leave them out"
        )
    if body.response_format is not None:
        raise RequestError(
            "response_format means nothing with a suffix: POST /v1/infill takes formats of holes"
        )
    if not body.add_special_tokens:
        raise RequestError("with a suffix the prompt has its special tokens: leave it at true")
    options = body.settings() | body.strategies()
    options.pop("stop", None)
    room = options.pop("max_new_tokens", MAX_TOKENS)
    templates = [Template.of([prompt, Hole(1, room), body.suffix]) for prompt in prompts]
    processor = hosted.model.processor
    first = processor.settings(options).seed or 0

    async def fill(template: Template, number: int) -> Infilled:
        given = cast(InfillOptions, options | {"seed": first + number})
        plan = partial(plan_infill, processor, template, None, given)
        filling = hosted.infill(plan, body.timeout, drafts=False, deadline=body.deadline)
        async with aclosing(filling) as events:
            (filled,) = [event async for event in events if isinstance(event, Infilled)]
        return filled

    places = itertools.product(templates, range(body.n))
    tasks = [asyncio.ensure_future(fill(template, number)) for template, number in places]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _usage(hosted: HostedModel, body: CompletionRequest, fills: list[Infilled]) -> JsonObject:
    """Return the tokens of the request, and those of all fills together."""
    prompts = [prompt for prompt in body.prompts() if isinstance(prompt, str)]
    texts = [*prompts, *(filled.fills[0] for filled in fills)]
    tokenizer = hosted.model.processor.require_tokenizer("a suffix")
    count = partial(_token_counts, tokenizer, [body.suffix or "", *texts])
    suffix, *others = await hosted.preparing.run(count, body.timeout, constrained=False)
    read = sum(others[: len(prompts)]) + len(prompts) * suffix
    written = sum(others[len(prompts) :])
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "steps": list(map(_steps, fills)),
    }


def _steps(filled: Infilled) -> list[int]:
    """Return the denoising steps of each candidate."""
    return [one.steps for one in filled.candidates]


def _token_counts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """Return the tokens of each text; what comes several times is counted once."""
    counts = {text: len(tokenizer.encode(text, bos=False)) for text in dict.fromkeys(texts)}
    return [counts[text] for text in texts]


async def _joined(chunks: AsyncGenerator[JsonObject, None]) -> JsonObject:
    async with aclosing(chunks):
        (whole,) = [chunk async for chunk in chunks]
    return whole
