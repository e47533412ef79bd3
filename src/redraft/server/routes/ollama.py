"""Routes of Ollama's API."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request, Response

from redraft import __version__
from redraft.errors import RequestError
from redraft.grammar import Constraint
from redraft.server.between import DEFAULT_WIDTH, Between, fill_between
from redraft.server.errors import descriptions
from redraft.server.fim_marks import marked_place
from redraft.server.json_body import json_router
from redraft.server.json_object import JsonObject
from redraft.server.json_text import json_answer
from redraft.server.ollama.answers import OLLAMA_STREAM, OllamaWriter, now
from redraft.server.ollama.facts import listed, shown
from redraft.server.ollama.schemas import (
    LATEST,
    OllamaChatRequest,
    OllamaError,
    OllamaGenerateRequest,
    OllamaRequest,
    ShowRequest,
)
from redraft.server.openai.asking import prepared
from redraft.server.openai.completion_schema import CompletionRequest
from redraft.server.openai.constraints import response_constraint
from redraft.server.openai.response import OpenAIResponse
from redraft.server.openai.translate import Translation, translate_completion
from redraft.server.runtime.registry import HostedModel, Registry
from redraft.server.runtime.sse import stream_response, while_connected
from redraft.server.turn import ChatTurn, translated

# The version of Ollama's API that is spoken: clients compare it with what they need.
API_VERSION = "0.12.0"
LINES: dict[int | str, JsonObject] = {
    200: {"content": {"application/x-ndjson": {}, "application/json": {}}}
}


def ollama_routes(models: Registry) -> APIRouter:
    """Return the routes of Ollama's API."""
    router = json_router(responses=descriptions(OllamaError))
    _fact_routes(router, models)

    @router.post("/api/chat", response_model=None, responses=LINES)
    async def chat(body: OllamaChatRequest, request: Request) -> Response:
        hosted = models[body.name]
        writer = OllamaWriter(body.model, chat=True)
        if not body.messages:
            return await _known(body, writer, writer.loaded(body.reason_to_load), request)
        turn = await ChatTurn.translated(hosted, body, body.chat, request)
        return await _answer(body, writer, turn, request)

    @router.post("/api/generate", response_model=None, responses=LINES)
    async def generate(body: OllamaGenerateRequest, request: Request) -> Response:
        hosted = models[body.checked().name]
        writer = OllamaWriter(body.model, chat=False)
        if body.raw and not body.suffix and (marked := marked_place(body.prompt)):
            body.prompt, body.suffix = marked
        if body.suffix:
            place = _place(body)
            filled = await while_connected(request, fill_between(hosted, place))
            return await _known(body, writer, writer.filled(filled), request)
        if not body.prompt:
            return await _known(body, writer, writer.loaded(body.reason_to_load), request)
        if body.raw:
            turn = await _raw_turn(hosted, body, request)
        else:
            turn = await ChatTurn.translated(hosted, body, body.chat, request)
        return await _answer(body, writer, turn, request)

    return router


def _fact_routes(router: APIRouter, models: Registry) -> None:
    """Add the routes that tell of the server and its models."""
    started = now()

    @router.get("/api/version")
    async def version() -> dict[str, str]:
        return {"version": API_VERSION, "redraft": __version__}

    @router.get("/api/tags")
    async def tags() -> dict[str, list[JsonObject]]:
        return {"models": [listed(one, started) for one in models]}

    @router.get("/api/ps")
    async def running() -> dict[str, list[JsonObject]]:
        forever = {"expires_at": "2318-01-01T00:00:00Z"}
        found = [listed(one, started) | forever for one in models]
        return {"models": [one | {"size_vram": one["size"]} for one in found]}

    @router.post("/api/show")
    async def show(body: ShowRequest) -> JsonObject:
        if not (name := body.model or body.name):
            raise RequestError("model is missing: give the name of a model")
        return shown(models[name.removesuffix(LATEST)], started)


async def _answer(
    body: OllamaRequest, writer: OllamaWriter, turn: ChatTurn, request: Request
) -> Response:
    if not body.stream:
        return body.noted(await json_answer(await while_connected(request, writer.whole(turn))))
    lines = writer.lines(turn, drafts=body.drafts)
    return body.noted(await stream_response(request, lines, OLLAMA_STREAM))


async def _known(
    body: OllamaRequest, writer: OllamaWriter, answer: JsonObject, request: Request
) -> Response:
    """Return an answer that is known, whole or as lines."""
    if not body.stream:
        return body.noted(await json_answer(answer))
    return body.noted(await stream_response(request, writer.in_two(answer), OLLAMA_STREAM))


def _place(body: OllamaGenerateRequest) -> Between:
    """Return the place of a request with a suffix.

    Raises:
        RequestError: a field means nothing with a suffix.
    """
    if body.logprobs or body.images or body.system or body.think:
        raise RequestError("logprobs, images, system and think mean nothing with a suffix")
    width = DEFAULT_WIDTH if body.options.limit is None else max(1, body.options.limit)
    return Between(
        body.prompt,
        body.suffix or "",
        width,
        body.options.settings() | body.further_settings(),
        partial(_constraint, body) if body.format else None,
        body.timeout,
        body.deadline,
    )


def _fields(body: OllamaGenerateRequest) -> JsonObject:
    """Return the fields of a raw prompt as a completion has them."""
    fields: JsonObject = {"model": body.name, "prompt": body.prompt}
    fields |= {"timeout": body.timeout, "timeout_ms": body.timeout_ms}
    if body.logprobs:
        fields["logprobs"] = min(body.top_logprobs or 0, 5)
    limit = {"max_tokens": body.options.limit}
    return body.options.settings() | body.further_settings() | fields | limit


async def _raw_turn(hosted: HostedModel, body: OllamaGenerateRequest, request: Request) -> ChatTurn:
    """Return the turn of a prompt that is continued as it is."""
    inner = translated(CompletionRequest, _fields(body), {"max_tokens": "options.num_predict"})

    def prepare() -> Translation:
        return translate_completion(hosted.model, inner, _constraint(body), hosted.tokens_left)

    constrained = bool(body.format)
    translation = await prepared(hosted, inner, request, prepare, constrained=constrained)
    # A chat of no tools: what the model writes into its reasoning channel is told apart.
    answer = OpenAIResponse("chat.completion", body.name, hosted.model.tokenizer, translation)
    return ChatTurn(hosted, inner, answer)


def _constraint(body: OllamaRequest) -> Constraint | None:
    """Return what a text must be; errors as for `response_constraint`."""
    form = body.response_format()
    return None if form is None else response_constraint(form)
