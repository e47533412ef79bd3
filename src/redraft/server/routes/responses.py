"""Routes of OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from redraft.server.json_body import json_router
from redraft.server.json_object import JsonObject
from redraft.server.json_text import is_shorter, json_answer
from redraft.server.keys import current_key
from redraft.server.openai.schemas import STREAMS, ChatRequest
from redraft.server.responses.items import messages_of, new_id
from redraft.server.responses.schemas import Item, ResponseRequest
from redraft.server.responses.writer import ResponseWriter
from redraft.server.routes.sessions import found_in
from redraft.server.runtime.database import StateBusyError, StateFileError, StateFullError
from redraft.server.runtime.lanes import LONG, note_size
from redraft.server.runtime.pools import in_pool
from redraft.server.runtime.registry import Registry
from redraft.server.runtime.sse import (
    StreamForm,
    named_line,
    stream_response,
    while_connected,
)
from redraft.server.runtime.store import Store
from redraft.server.turn import ChatTurn

WHOLE = ("response.completed", "response.incomplete")


@dataclass(frozen=True)
class StoredWriter:
    """A response that is being written, and the items of its input."""

    writer: ResponseWriter
    given: list[Item]
    state: Store

    async def events(self) -> AsyncGenerator[JsonObject, None]:
        """Yield the events; a response is kept before its end is told."""
        async with aclosing(self.writer.events()) as events:
            async for event in events:
                if event["type"] in WHOLE and event["response"]["store"]:
                    await self._keep(event["response"])
                yield event

    async def whole(self) -> JsonObject:
        """Return the whole response."""
        async with aclosing(self.events()) as events:
            async for _ in events:
                pass
        return self.writer.response

    async def _keep(self, response: JsonObject) -> None:
        try:
            given = response, self.given, current_key.get()
            await in_pool("state", self.state.responses.keep, *given, follow_up=True)
        except (StateBusyError, StateFullError, StateFileError):
            response["store"] = False  # an answer that cannot be kept is an answer all the same


def response_routes(models: Registry, state: Store) -> APIRouter:
    """Return the routes of the Responses API."""
    router = json_router()

    @router.post("/v1/responses", response_model=None, responses=STREAMS)
    async def respond(body: ResponseRequest, request: Request) -> Response:
        hosted = models[body.checked().model]
        given = await in_pool("state", _given_items, body, state)
        before: list[Item] = []
        if body.previous_response_id is not None:
            named = body.previous_response_id
            before = await found_in("response", state.responses.conversation, named)
            if not is_shorter(before, LONG):
                note_size(LONG + 1)

        def chat() -> ChatRequest:
            return body.chat(messages_of([*before, *given], body.instructions))

        turn = await ChatTurn.translated(hosted, body, chat, request)
        stored = StoredWriter(ResponseWriter(body, turn), given, state)
        if not body.stream:
            answer: Response = await json_answer(await while_connected(request, stored.whole()))
        else:
            form = StreamForm(named_line, stored.writer.failed)
            answer = await stream_response(request, stored.events(), form)
        return body.noted(answer)

    @router.get("/v1/responses/{name}", response_model=JsonObject)
    async def response(name: str) -> Response:
        return await json_answer(await found_in("response", state.responses.response, name))

    @router.get("/v1/responses/{name}/input_items", response_model=JsonObject)
    async def input_items(name: str) -> Response:
        items = await found_in("response", state.responses.input_items, name)
        ends = {
            "first_id": items[0]["id"] if items else None,
            "last_id": items[-1]["id"] if items else None,
        }
        return await json_answer({"object": "list", "data": items, "has_more": False, **ends})

    @router.delete("/v1/responses/{name}")
    async def forget(name: str) -> JsonObject:
        await found_in("response", state.responses.forget, name)
        return {"id": name, "object": "response", "deleted": True}

    return router


def _given_items(body: ResponseRequest, state: Store) -> list[Item]:
    """Return the items of a request's own input, each with an id.

    Raises:
        RequestError: one is not kept.
    """
    if isinstance(body.input, str):
        items: list[Item] = [{"type": "message", "role": "user", "content": body.input}]
    else:
        items = body.input
    resolved = state.responses.resolved(items)
    return [
        item if isinstance(item.get("id"), str) else item | {"id": new_id("msg")}
        for item in resolved
    ]
