"""Routes of llama.cpp, and of Mistral's completions between two texts."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from redraft import __version__
from redraft.errors import RequestError
from redraft.server.between import DEFAULT_WIDTH, Between, FilledPlace, fill_between
from redraft.server.dialects import error_in
from redraft.server.errors import descriptions
from redraft.server.json_body import json_router
from redraft.server.json_object import JsonObject
from redraft.server.json_text import json_answer
from redraft.server.llamacpp.answers import (
    CompletionWriter,
    Figures,
    chunk,
    final,
    of_filled,
    selected,
    shown,
)
from redraft.server.llamacpp.schemas import (
    DetokenizeRequest,
    FimRequest,
    LlamaCompletionRequest,
    LlamaError,
    LlamaInfillRequest,
    Sampling,
)
from redraft.server.openai.asking import prepared
from redraft.server.openai.completion_schema import CompletionRequest
from redraft.server.openai.response import OpenAIResponse
from redraft.server.openai.schemas import STREAMS
from redraft.server.openai.translate import Translation, translate_completion
from redraft.server.runtime.pools import in_pool
from redraft.server.runtime.registry import HostedModel, Registry
from redraft.server.runtime.sse import (
    OPENAI_STREAM,
    StreamForm,
    stream_response,
    while_connected,
)
from redraft.server.turn import translated
from redraft.text import Tokenizer

LLAMA_STREAM = StreamForm(failed=lambda status, body: error_in("llama.cpp", status, body))


def llamacpp_routes(models: Registry) -> APIRouter:
    """Return the routes of llama.cpp."""
    router = json_router(responses=descriptions(LlamaError))
    _fact_routes(router, models)

    @router.post("/infill", response_model=None, responses=STREAMS)
    async def infill(body: LlamaInfillRequest, request: Request) -> Response:
        hosted = models.named(body.model)
        chunks = _infill_chunks(hosted, body)
        if body.stream:
            return body.noted(await stream_response(request, chunks, LLAMA_STREAM))
        return body.noted(await json_answer(await while_connected(request, _last(chunks))))

    async def complete(body: LlamaCompletionRequest, request: Request) -> Response:
        hosted = models.named(body.model)
        writer = await _writer(hosted, body, request)
        if body.stream:
            return body.noted(await stream_response(request, writer.chunks(), LLAMA_STREAM))
        return body.noted(await json_answer(await while_connected(request, writer.whole())))

    for path in ("/completion", "/completions"):
        router.post(path, response_model=None, responses=STREAMS)(complete)
    return router


def fim_routes(models: Registry) -> APIRouter:
    """Return Mistral's route; its errors have OpenAI's shape."""
    router = json_router()

    @router.post("/v1/fim/completions", response_model=None, responses=STREAMS)
    async def fim(body: FimRequest, request: Request) -> Response:
        hosted = models[body.model]
        options = body.settings()
        if body.random_seed is not None:
            options["seed"] = body.random_seed
        place = _place(body, body.prompt, body.suffix or "", options)
        filled = await while_connected(request, fill_between(hosted, place))
        head = {
            "id": secrets.token_hex(16),
            "created": int(time.time()),
            "model": body.model,
            "usage": _usage(filled),
        }
        reason = "stop" if filled.settled else "length"
        mark = {} if filled.settled else {"settled": False}
        message = {"role": "assistant", "content": filled.text}
        if not body.stream:
            whole = message | {"tool_calls": None, "prefix": False}
            choice = {"index": 0, "message": whole, "finish_reason": reason} | mark
            answer = head | {"object": "chat.completion", "choices": [choice]}
            return body.noted(await json_answer(answer))

        async def chunks() -> AsyncGenerator[JsonObject, None]:
            choice = {"index": 0, "delta": message, "finish_reason": reason} | mark
            yield head | {"object": "chat.completion.chunk", "choices": [choice]}

        return body.noted(await stream_response(request, chunks(), OPENAI_STREAM))

    return router


def _fact_routes(router: APIRouter, models: Registry) -> None:
    """Add the routes that tell of the server, and those of tokens."""

    @router.get("/props")
    async def props(model: str | None = None) -> JsonObject:
        hosted = models.named(model)
        loaded, facts = hosted.model, hosted.describe()
        template = loaded.chat_template
        return {
            "default_generation_settings": {
                "id": 0,
                "n_ctx": facts["context_length"],
                "speculative": False,
                "is_processing": bool(hosted.worker.load),
                "params": {"n_predict": loaded.generation_config.max_new_tokens},
            },
            "total_slots": hosted.batch_size,
            "model_alias": hosted.name,
            "model_path": hosted.name,
            "chat_template": (template.source or "") if template else "",
            "modalities": {"vision": False, "audio": False},
            "build_info": f"redraft-{__version__}",
            "is_sleeping": False,
        }

    @router.get("/slots")
    async def slots(model: str | None = None) -> list[JsonObject]:
        hosted = models.named(model)
        context, busy = hosted.describe()["context_length"], hosted.worker.load
        return [
            {"id": number, "n_ctx": context, "speculative": False, "is_processing": number < busy}
            for number in range(hosted.batch_size)
        ]

    @router.post("/detokenize", response_model=dict[str, str])
    async def detokenize(body: DetokenizeRequest, request: Request) -> Response:
        tokenizer = models.named(body.model).model.processor.require_tokenizer("a text")
        decoded = partial(_decoded, tokenizer, body.tokens)
        content = await while_connected(request, in_pool("tokens", decoded))
        return await json_answer({"content": content})


def _decoded(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    """Return the text of tokens.

    Raises:
        RequestError: one is outside the vocabulary.
    """
    size = tokenizer.vocab_size
    if (outside := next((one for one in tokens if not 0 <= one < size), None)) is not None:
        raise RequestError(f"token id {outside} is outside the vocabulary of {size}")
    return tokenizer.decode(tokens, special=True)


def _place(body: Sampling, prefix: str, suffix: str, options: JsonObject) -> Between:
    return Between(
        prefix,
        suffix,
        DEFAULT_WIDTH if body.limit is None else body.limit,
        options,
        body.constraint if body.is_constrained else None,
        body.timeout,
        body.deadline,
    )


async def _last(chunks: AsyncGenerator[JsonObject, None]) -> JsonObject:
    async with aclosing(chunks):
        return [chunk async for chunk in chunks][-1]


async def _infill_chunks(
    hosted: HostedModel, body: LlamaInfillRequest
) -> AsyncGenerator[JsonObject, None]:
    """Yield what was filled in, and the last chunk; a whole answer is the last one."""
    place = _place(body, body.prefix, body.input_suffix, body.settings())
    if place.width == 0:
        # Editors ask for nothing, ahead of time, so that a prompt is in the cache.
        empty = final(hosted.name, "", place.prefix, Figures(0, settings=shown(body)))
        yield selected(empty, body.response_fields)
        return
    filled = await fill_between(hosted, place)
    figures = of_filled(filled, shown(body))
    if body.stream:
        yield chunk(filled.text, figures)
    content = "" if body.stream else filled.text
    whole = final(hosted.name, content, place.prefix, figures)
    yield selected(whole, body.response_fields)


async def _writer(
    hosted: HostedModel, body: LlamaCompletionRequest, request: Request
) -> CompletionWriter:
    """Return a writer of completions, of which nothing is written yet."""
    prompts = hosted.preparing.run(
        partial(_prompts, hosted, body.prompt), body.timeout, constrained=False
    )
    given = {
        "model": hosted.name,
        "prompt": await while_connected(request, prompts),
        "max_tokens": body.limit,
        "logprobs": min(body.n_probs, 5) if body.n_probs else None,
        "timeout": body.timeout,
        "timeout_ms": body.bound_ms,
    }
    settings = body.settings()
    stop = settings.pop("stop", None)
    fields = settings | given | {"stop": None if stop is None else list(stop)}
    names = {"max_tokens": "n_predict", "timeout_ms": "t_max_predict_ms"}
    inner = translated(CompletionRequest, fields, names)

    def prepare() -> Translation:
        return translate_completion(hosted.model, inner, body.constraint(), hosted.tokens_left)

    translation = await prepared(hosted, inner, request, prepare, constrained=body.is_constrained)
    answer = OpenAIResponse("text_completion", hosted.name, hosted.model.tokenizer, translation)
    return CompletionWriter(hosted, body, inner, answer)


def _prompts(hosted: HostedModel, prompt: str | list[Any]) -> Any:
    """Return prompts as OpenAI's completions have them: a mix of texts and token ids is one."""
    if isinstance(prompt, str):
        return prompt
    kinds = {type(part) for part in prompt}
    if len(kinds) < 2:
        return prompt
    tokenizer = hosted.model.processor.require_tokenizer("a prompt of texts and token ids")
    several = list in kinds
    ids: list[Any] = []
    for part in prompt:
        if isinstance(part, str):
            tokens = tokenizer.encode(part, bos=several)
            ids += [tokens] if several else tokens
        else:
            ids.append(part)
    return ids


def _usage(filled: FilledPlace) -> dict[str, int]:
    return {
        "prompt_tokens": filled.prompt_tokens,
        "completion_tokens": filled.new_tokens,
        "total_tokens": filled.prompt_tokens + filled.new_tokens,
    }
