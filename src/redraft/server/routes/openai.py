"""OpenAI's routes: models, chat, completions, and tokenize."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from functools import partial

from fastapi import APIRouter, Request, Response

from redraft.errors import RequestError
from redraft.server.fim_marks import marked_place
from redraft.server.json_body import json_router
from redraft.server.json_object import JsonObject
from redraft.server.json_text import json_answer, json_text
from redraft.server.openai.asking import chat_answer, events_of, prepared
from redraft.server.openai.completion_schema import CompletionRequest
from redraft.server.openai.constraints import response_constraint
from redraft.server.openai.response import OpenAIResponse
from redraft.server.openai.schemas import (
    MAX_LISTED,
    STREAMS,
    ChatRequest,
    Common,
    TokenizeRequest,
)
from redraft.server.openai.suffix import suffix_answer
from redraft.server.openai.translate import Translation, translate_completion
from redraft.server.runtime.registry import HostedModel, Registry
from redraft.server.runtime.sse import stream_response, while_connected
from redraft.text import Tokenizer

ITEMS = 1000  # of a list, that are written at a time


def openai_routes(models: Registry) -> APIRouter:
    """Return OpenAI's routes."""
    router = json_router()
    _model_routes(router, models)

    @router.post("/v1/chat/completions", response_model=None, responses=STREAMS)
    async def chat(body: ChatRequest, request: Request) -> Response:
        hosted = models.named(body.model)
        body.model = body.model or hosted.name
        return await _answer(hosted, await chat_answer(hosted, body, request), body, request)

    @router.post("/v1/completions", response_model=None, responses=STREAMS)
    async def complete(body: CompletionRequest, request: Request) -> Response:
        hosted = models.named(body.model)
        body.model = body.model or hosted.name
        if not body.suffix and (place := marked_place(body.prompt)):
            body.prompt, body.suffix = place
        if body.suffix:
            return body.noted(await suffix_answer(hosted, body, request))
        form = body.response_format

        def prepare() -> Translation:
            constraint = None if form is None else response_constraint(form)
            return translate_completion(hosted.model, body, constraint)

        translation = await prepared(hosted, body, request, prepare, constrained=form is not None)
        answer = OpenAIResponse("text_completion", body.model, hosted.model.tokenizer, translation)
        return await _answer(hosted, answer, body, request)

    @router.post("/tokenize", response_model=JsonObject)
    async def tokenize(body: TokenizeRequest, request: Request) -> Response:
        hosted = models.named(body.model)
        tokenizer = hosted.model.processor.require_tokenizer("a text")
        making = hosted.preparing.run(partial(_tokenized, tokenizer, body), None, constrained=False)
        content = await while_connected(request, making)
        return Response(content, media_type="application/json")

    return router


def _tokenized(tokenizer: Tokenizer, body: TokenizeRequest) -> str:
    """Return the JSON of the tokens of a text, made in steps that let others run.

    Raises:
        RequestError: there are too many.
    """
    tokens, parts = tokenizer.encode_parts(body.given)
    if len(tokens) > MAX_LISTED:
        raise RequestError(
            f"the text has {len(tokens)} tokens, {MAX_LISTED} are listed at most: send it in parts"
        )
    if body.add_special and tokenizer.bos_token_id is not None:
        tokens, parts = [tokenizer.bos_token_id, *tokens], ["", *parts]
    shown: Iterable[object] = tokens
    if body.with_pieces:
        shown = ({"id": token, "piece": part} for token, part in zip(tokens, parts, strict=True))
    told = f'{{"tokens": [{_json_items(shown)}], "texts": [{_json_items(parts)}]'
    return f'{told}, "count": {len(tokens)}}}'


def _json_items(items: Iterable[object]) -> str:
    """Return the items of a list in JSON."""
    left = iter(items)
    some = iter(lambda: list(itertools.islice(left, ITEMS)), [])
    return ", ".join(json_text(one)[1:-1] for one in some)


def _model_routes(router: APIRouter, models: Registry) -> None:
    started = int(time.time())
    day = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started))

    def described(one: HostedModel, request: Request) -> JsonObject:
        """Return a model in the form of the client that asks: Anthropic's name their version."""
        head: JsonObject
        if "anthropic-version" in request.headers:
            head = {"type": "model", "display_name": one.name, "created_at": day}
        else:
            head = {"object": "model", "created": started, "owned_by": "redraft"}
        parent = {} if one.parent is None else {"parent": one.parent}
        return {"id": one.name, **head, "redraft": one.describe(), **parent}

    @router.get("/v1/models")
    async def list_models(request: Request) -> JsonObject:
        data = [described(one, request) for one in models]
        if "anthropic-version" in request.headers:
            ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]}
            return {"data": data, "has_more": False, **ends}
        return {"object": "list", "data": data}

    @router.get("/v1/models/{name}")
    async def one_model(name: str, request: Request) -> JsonObject:
        return described(models[name], request)


async def _answer(
    hosted: HostedModel, answer: OpenAIResponse, body: Common, request: Request
) -> Response:
    options = body.stream_options
    drafts = body.stream and options.include_drafts
    events = events_of(hosted, answer, body, drafts=drafts)
    if body.stream:
        chunks = answer.chunks(events, usage=options.include_usage, drafts=drafts)
        return body.noted(await stream_response(request, chunks))
    return body.noted(await json_answer(await while_connected(request, answer.collected(events))))
