"""Routes of Anthropic's Messages API."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from redraft.server.anthropic.blocks import messages_of
from redraft.server.anthropic.schemas import AnthropicError, CountRequest, MessageRequest
from redraft.server.anthropic.writer import ANTHROPIC_STREAM, MessageWriter
from redraft.server.errors import descriptions
from redraft.server.json_body import json_router
from redraft.server.openai.schemas import STREAMS
from redraft.server.openai.translate import encoded_chat
from redraft.server.runtime.registry import Registry
from redraft.server.runtime.sse import stream_response, while_connected
from redraft.server.turn import ChatTurn


def anthropic_routes(models: Registry) -> APIRouter:
    """Return the routes of the Messages API."""
    router = json_router(responses=descriptions(AnthropicError))

    @router.post("/v1/messages", response_model=None, responses=STREAMS)
    async def message(body: MessageRequest, request: Request) -> Response:
        hosted = models[body.model]
        chat = body.chat(messages_of(body.messages, body.system))
        writer = MessageWriter(body.model, await ChatTurn.prepared(hosted, chat, request))
        if not body.stream:
            answer: Response = JSONResponse(await while_connected(request, writer.whole()))
        else:
            events = writer.events(drafts=body.drafts)
            answer = await stream_response(request, events, ANTHROPIC_STREAM)
        return body.noted(answer)

    @router.post("/v1/messages/count_tokens")
    async def count(body: CountRequest, request: Request) -> dict[str, int]:
        hosted = models[body.model]
        chat = body.chat(messages_of(body.messages, body.system))
        prompt = partial(encoded_chat, hosted.model, chat)
        counting = hosted.preparing.run(prompt, body.timeout, constrained=False)
        encoded = await while_connected(request, counting)
        return {"input_tokens": len(encoded.tokens)}

    return router
