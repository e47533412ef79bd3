"""Routes of edit sessions and pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Query, Request, Response
from pydantic import ConfigDict, Field

from redraft.editing import Infilled
from redraft.editing.diff import unified_diff
from redraft.editing.template import check_span
from redraft.engine import Work
from redraft.errors import RequestError
from redraft.server.errors import NotHereError
from redraft.server.json_body import json_router
from redraft.server.json_object import JsonObject
from redraft.server.json_text import json_answer
from redraft.server.openai.schemas import STREAMS, Body
from redraft.server.routes.infill import EditOptions, answer, infill_report
from redraft.server.runtime.lanes import note_size
from redraft.server.runtime.pools import Kind, in_pool
from redraft.server.runtime.registry import Registry
from redraft.server.runtime.sse import while_connected
from redraft.server.runtime.store import MAX_CHARACTERS, Store

Result = TypeVar("Result")


class NewSession(Body):
    """POST /v1/sessions. instruction: the text is an answer to it; none for a text by itself."""

    model_config = ConfigDict(extra="forbid")
    model: str
    text: str = Field(max_length=MAX_CHARACTERS)
    instruction: str | None = Field(default=None, max_length=MAX_CHARACTERS)


class SessionEdit(EditOptions):
    """POST /v1/sessions/ID/edits: a change by the model, or `replace` with a given text."""

    kind: Literal["rewrite", "insert", "replace"] = "rewrite"  # type: ignore[assignment]
    replacement: str | None = Field(default=None, max_length=MAX_CHARACTERS)


class PageBody(Body):
    """PUT /v1/pages/TITLE."""

    model_config = ConfigDict(extra="forbid")
    model: str
    text: str = Field(max_length=MAX_CHARACTERS)


def session_routes(models: Registry, state: Store) -> APIRouter:
    """Return the routes of sessions and pages."""
    router = json_router()
    _session_routes(router, models, state)
    _page_routes(router, models, state)
    return router


def _session_routes(router: APIRouter, models: Registry, state: Store) -> None:
    @router.post("/v1/sessions")
    async def begin(body: NewSession) -> JsonObject:
        models[body.model]
        return _session(
            await in_pool("state", state.begin, body.model, body.text, body.instruction)
        )

    @router.get("/v1/sessions")
    async def sessions(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100, after: str | None = None
    ) -> JsonObject:
        # One more than is sent tells whether there are more.
        found = await found_in("session", state.sessions, limit + 1, after)
        data = [_session(one) for one in found[:limit]]
        return {"object": "list", "data": data, "has_more": len(found) > limit}

    @router.get("/v1/sessions/{name}")
    async def session(name: str) -> JsonObject:
        return _session(await found_in("session", state.session, name))

    @router.delete("/v1/sessions/{name}")
    async def forget(name: str) -> JsonObject:
        await found_in("session", state.forget, name)
        return {"id": name, "deleted": True}

    @router.post("/v1/sessions/{name}/undo")
    async def undo(name: str, request: Request) -> JsonObject:
        moving = found_in("session", _moved, state.undo, name, pool="diff")
        return await while_connected(request, moving)

    @router.post("/v1/sessions/{name}/redo")
    async def redo(name: str, request: Request) -> JsonObject:
        moving = found_in("session", _moved, state.redo, name, pool="diff")
        return await while_connected(request, moving)

    @router.post("/v1/sessions/{name}/edits", response_model=None, responses=STREAMS)
    async def edit(name: str, body: SessionEdit, request: Request) -> Response:
        found = await found_in("session", state.session, name)
        before: str = found["text"]
        note_size(len(before))

        def changed(after: str) -> JsonObject:
            now = state.edit(name, before, after)
            return {"session": _session(now), "diff": unified_diff(before, after, "text")}

        if body.kind == "replace":
            after = _replaced(before, body)
            changing = found_in("session", changed, after, pool="diff")
            made = await while_connected(request, changing)
            return await json_answer({"object": "edit", "text": after} | made)
        if body.replacement is not None:
            raise RequestError("a replacement goes with the kind 'replace'")
        hosted = models[found["model"]]
        change = (
            body
            if body.instruction is not None
            else body.model_copy(update={"instruction": found["instruction"]})
        )

        def plan() -> Work:
            return change.plan(hosted, before)

        async def report(filled: Infilled) -> JsonObject:
            told = await infill_report(hosted, "edit", before, filled)
            return told | await found_in(
                "session", changed, filled.text, pool="diff", follow_up=True
            )

        return await answer(hosted, plan, body, request, report)


def _page_routes(router: APIRouter, models: Registry, state: Store) -> None:
    @router.get("/v1/pages", response_model=JsonObject)
    async def pages(model: str) -> Response:
        models[model]
        found = await in_pool("state", state.pages, model)
        return await json_answer({"object": "list", "data": found})

    # A title may hold a slash: it takes the rest of the path.
    @router.get("/v1/pages/{title:path}")
    async def page(title: str, model: str) -> JsonObject:
        return await found_in("page", state.page, model, title)

    @router.put("/v1/pages/{title:path}")
    async def keep(title: str, body: PageBody) -> JsonObject:
        models[body.model]
        await in_pool("state", state.keep_page, body.model, title, body.text)
        return await found_in("page", state.page, body.model, title)

    @router.delete("/v1/pages/{title:path}")
    async def forget_page(title: str, model: str) -> JsonObject:
        await in_pool("state", state.forget_page, model, title)
        return {"title": title, "deleted": True}


def _session(found: JsonObject) -> JsonObject:
    return {"object": "session"} | found


def _moved(move: Callable[[str], tuple[JsonObject, str]], name: str) -> JsonObject:
    """Return a session after undo or redo, with the diff."""
    now, before = move(name)
    return _session(now) | {"diff": unified_diff(before, now["text"], "text")}


def _replaced(text: str, body: SessionEdit) -> str:
    if body.replacement is None or len(body.spans) != 1:
        raise RequestError("to replace something, give one span and the replacement")
    ((first, last),) = body.spans
    check_span(text, first, last)
    return text[:first] + body.replacement + text[last:]


async def found_in(
    kind: str,
    look: Callable[..., Result],
    *arguments: Any,
    pool: Kind = "state",
    follow_up: bool = False,
) -> Result:
    """Look something up in a thread: neither the file nor a diff may block the event loop.

    Args:
        pool, follow_up: as for `in_pool`.
    """
    return await in_pool(pool, _looked, kind, look, *arguments, follow_up=follow_up)


def _looked(kind: str, look: Callable[..., Result], *arguments: Any) -> Result:
    try:
        return look(*arguments)
    except KeyError as error:
        raise NotHereError(kind, f"there is no {kind} {error.args[0]!r} here") from None
