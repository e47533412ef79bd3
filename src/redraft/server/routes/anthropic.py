"""Routes of Anthropic's Messages API."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request, Response

from redraft.server.anthropic.blocks import messages_of
from redraft.server.anthropic.schemas import AnthropicError, CountRequest, MessageRequest
from redraft.server.anthropic.writer import ANTHROPIC_STREAM, MessageWriter
from redraft.server.errors import descriptions
from redraft.server.json_body import json_router
from redraft.server.json_text import json_answer
from redraft.server.openai.schemas import STREAMS, ChatRequest
from redraft.server.openai.translate import encoded_chat
from redraft.server.runtime.registry import Registry
from redraft.server.runtime.sse import stream_response, while_connected
from redraft.server.turn import ChatTurn, chat_of


def anthropic_routes(models: Registry) -> APIRouter:
    """Return the routes of the Messages API."""
    router = json_router(responses=descriptions(AnthropicError))

    @router.post("/v1/messages", response_model=None, responses=STREAMS)
    async def message(body: MessageRequest, request: Request) -> Response:
        hosted = models[body.model]
        turn = await ChatTurn.translated(hosted, body, partial(_chat, body), request)
        writer = MessageWriter(body.model, turn)
        if not body.stream:
            answer: Response = await json_answer(await while_connected(request, writer.whole()))
        else:
            events = writer.events(drafts=body.drafts)
            answer = await stream_response(request, events, ANTHROPIC_STREAM)
        return body.noted(answer)

    @router.post("/v1/messages/count_tokens")
    async def count(body: CountRequest, request: Request) -> dict[str, int]:
        hosted = models[body.model]
        chat = await chat_of(hosted, body, partial(_chat, body), request)
        prompt = partial(encoded_chat, hosted.model, chat)
        counting = hosted.preparing.run(prompt, chat.timeout, constrained=False)
        encoded = await while_connected(request, counting)
        return {"input_tokens": len(encoded.tokens)}

    return router


def _chat(body: CountRequest) -> ChatRequest:
    """Return the chat that a request is; errors as for its blocks and its fields."""
    return body.chat(messages_of(body.messages, body.system))
