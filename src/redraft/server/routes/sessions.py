"""Keeping: texts being edited and pages that were written, for as long as they are wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from redraft.editing import Infilled
from redraft.editing.diff import unified_diff
from redraft.editing.template import check_span
from redraft.engine import Work
from redraft.errors import RequestError
from redraft.server.errors import NotHereError
from redraft.server.openai.schemas import STREAMS
from redraft.server.routes.infill import Change, answer, told
from redraft.server.runtime.registry import Registry
from redraft.server.runtime.store import MOST, State

Found = TypeVar("Found")


class NewSession(BaseModel):
    """POST /v1/sessions. instruction: what a user asked for, to which the text is the answer; none
    for a text by itself."""

    model_config = ConfigDict(extra="forbid")
    model: str
    text: str = Field(max_length=MOST)
    instruction: str | None = Field(default=None, max_length=MOST)


class SessionEdit(Change):
    """POST /v1/sessions/ID/edits: a change by the model, or `replace`, with what a person put
    there."""

    kind: Literal["rewrite", "insert", "replace"] = "rewrite"  # type: ignore[assignment]
    replacement: str | None = Field(default=None, max_length=MOST)


class Page(BaseModel):
    """PUT /v1/pages/TITLE."""

    model_config = ConfigDict(extra="forbid")
    model: str
    text: str = Field(max_length=MOST)


def keeping_routes(models: Registry, state: State) -> APIRouter:
    """What is kept."""
    router = APIRouter()
    _session_routes(router, models, state)
    _page_routes(router, models, state)
    return router


def _session_routes(router: APIRouter, models: Registry, state: State) -> None:
    @router.post("/v1/sessions")
    async def begin(asked: NewSession) -> dict[str, Any]:
        models[asked.model]
        return _session(
            await run_in_threadpool(state.begin, asked.model, asked.text, asked.instruction)
        )

    @router.get("/v1/sessions")
    async def sessions() -> dict[str, Any]:
        return {
            "object": "list",
            "data": [_session(one) for one in await run_in_threadpool(state.sessions)],
        }

    @router.get("/v1/sessions/{name}")
    async def session(name: str) -> dict[str, Any]:
        return _session(await _found("session", state.session, name))

    @router.delete("/v1/sessions/{name}")
    async def forget(name: str) -> dict[str, Any]:
        await _found("session", state.forget, name)
        return {"id": name, "deleted": True}

    @router.post("/v1/sessions/{name}/undo")
    async def undo(name: str) -> dict[str, Any]:
        return await _found("session", _moved, state.undo, name)

    @router.post("/v1/sessions/{name}/redo")
    async def redo(name: str) -> dict[str, Any]:
        return await _found("session", _moved, state.redo, name)

    @router.post("/v1/sessions/{name}/edits", response_model=None, responses=STREAMS)
    async def edit(name: str, asked: SessionEdit, request: Request) -> Response:
        found = await _found("session", state.session, name)
        before: str = found["text"]

        def changed(after: str) -> dict[str, Any]:
            now = state.edit(name, before, after)
            return {"session": _session(now), "diff": unified_diff(before, after, "text")}

        if asked.kind == "replace":
            after = _replaced(before, asked)
            return JSONResponse(
                {"object": "edit", "text": after} | await _found("session", changed, after)
            )
        if asked.replacement is not None:
            raise RequestError("a replacement goes with the kind 'replace'")
        served = models[found["model"]]
        change = (
            asked
            if asked.instruction is not None
            else asked.model_copy(update={"instruction": found["instruction"]})
        )

        def make() -> Work:
            return change.plan(served, before)

        def tell(filled: Infilled) -> dict[str, Any]:
            return told(served, "edit", before, filled) | _looked("session", changed, filled.text)

        return await answer(served, make, asked, request, tell)


def _page_routes(router: APIRouter, models: Registry, state: State) -> None:
    @router.get("/v1/pages")
    async def pages(model: str) -> dict[str, Any]:
        models[model]
        return {"object": "list", "data": await run_in_threadpool(state.pages, model)}

    # A title may hold a slash: it is all of the rest.
    @router.get("/v1/pages/{title:path}")
    async def page(title: str, model: str) -> dict[str, Any]:
        return await _found("page", state.page, model, title)

    @router.put("/v1/pages/{title:path}")
    async def keep(title: str, asked: Page) -> dict[str, Any]:
        models[asked.model]
        await run_in_threadpool(state.keep_page, asked.model, title, asked.text)
        return await _found("page", state.page, asked.model, title)

    @router.delete("/v1/pages/{title:path}")
    async def forget_page(title: str, model: str) -> dict[str, Any]:
        await run_in_threadpool(state.forget_page, model, title)
        return {"title": title, "deleted": True}


def _session(found: dict[str, Any]) -> dict[str, Any]:
    return {"object": "session"} | found


def _moved(move: Callable[[str], tuple[dict[str, Any], str]], name: str) -> dict[str, Any]:
    """A session whose text was moved on or back, and how that changed."""
    now, before = move(name)
    return _session(now) | {"diff": unified_diff(before, now["text"], "text")}


def _replaced(text: str, asked: SessionEdit) -> str:
    if asked.replacement is None or len(asked.spans) != 1:
        raise RequestError("to replace something, give one span and the replacement")
    ((first, last),) = asked.spans
    check_span(text, first, last)
    return text[:first] + asked.replacement + text[last:]


async def _found(kind: str, look: Callable[..., Found], *arguments: Any) -> Found:
    """What is looked for, in a thread: neither the file nor a comparison of texts may hold up
    others."""
    return await run_in_threadpool(_looked, kind, look, *arguments)


def _looked(kind: str, look: Callable[..., Found], *arguments: Any) -> Found:
    try:
        return look(*arguments)
    except KeyError as error:
        raise NotHereError(kind, f"there is no {kind} {error.args[0]!r} here") from None
