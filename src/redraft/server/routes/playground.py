"""Routes of the playground: the page, and what it alone needs."""

from __future__ import annotations

import random
from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import APIRouter, FastAPI, File, Request, UploadFile
from fastapi.staticfiles import StaticFiles
from pydantic import ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from redraft.server.errors import NotHereError
from redraft.server.json_body import json_router
from redraft.server.json_object import JsonObject
from redraft.server.openai.schemas import Body
from redraft.server.runtime.pools import in_pool
from redraft.server.runtime.sse import while_connected
from redraft.server.speech import Recogniser
from redraft.tasks.sudoku_generator import generate
from redraft.tasks.verdict import verdict
from redraft.web import static_folder

# The page has no inline script and connects to this server only.
POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'self'"
)


SAFE = ("GET", "HEAD")
PUZZLE_SECONDS = 20.0  # for a puzzle: one of many blanks takes several attempts
MAX_CHECKED = 20_000  # characters


class SudokuRequest(Body):
    """POST /play/sudoku: the number of blanks of a new puzzle."""

    model_config = ConfigDict(extra="forbid")
    blanks: int = Field(ge=1, le=58)


class CheckRequest(Body):
    """POST /play/check: a prompt, and an answer to it."""

    model_config = ConfigDict(extra="forbid")
    prompt: str = Field(max_length=MAX_CHECKED)
    text: str = Field(max_length=MAX_CHECKED)


class PageFiles(StaticFiles):
    """The built page, with its security headers.

    Args:
        prefix: of the paths at which browsers find the page.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__(directory=static_folder(), html=True)
        page = (static_folder() / "index.html").read_text(encoding="utf-8")
        # The page's addresses are relative. With a base they also hold at the prefix without a
        # slash behind it, which a proxy that strips it cannot tell from the one with a slash.
        based = page.replace("<head>", f'<head>\n    <base href="{prefix}/" />', 1)
        self._page = based if prefix else None

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file with the headers."""
        if self._page is not None and path in (".", "index.html") and scope["method"] in SAFE:
            response: Response = HTMLResponse(self._page)
        else:
            try:
                response = await super().get_response(path, scope)
            except HTTPException as error:
                if error.status_code not in (404, 405):
                    raise
                raise HTTPException(404, _unknown(scope)) from None
        response.headers["content-security-policy"] = POLICY
        response.headers["x-content-type-options"] = "nosniff"
        response.headers["referrer-policy"] = "no-referrer"
        return response


def _unknown(scope: Scope) -> str:
    return f"there is no {scope['method']} {scope['path']} here: /docs describes all routes"


def playground_routes(recogniser: Recogniser | None) -> APIRouter:
    """Return the routes that only the page uses."""
    router = json_router()

    @router.get("/play/config")
    async def config() -> JsonObject:
        return {"speech": recogniser is not None}

    @router.post("/play/sudoku")
    async def sudoku(body: SudokuRequest, request: Request) -> dict[str, str]:
        making = in_pool("puzzle", generate, random.Random(), body.blanks, PUZZLE_SECONDS)
        puzzle, _ = await while_connected(request, making)
        return {"puzzle": puzzle.replace("0", ".")}

    @router.post("/play/check")
    async def check(body: CheckRequest) -> dict[str, bool | None]:
        return {"right": await in_pool("check", verdict, body.prompt, body.text)}

    limiter: list[anyio.CapacityLimiter] = []

    @router.post("/v1/audio/transcriptions")
    async def transcribe(file: Annotated[UploadFile, File()]) -> dict[str, str]:
        if recogniser is None:
            raise NotHereError(
                "model", "nothing recognises speech here: start the server with --speech"
            )
        if not limiter:
            limiter.append(anyio.CapacityLimiter(1))  # made in the event loop that uses it
        sound = await file.read()
        return {
            "text": await anyio.to_thread.run_sync(
                recogniser.words, sound, file.filename or "sound", limiter=limiter[0]
            )
        }

    return router


def add_page(app: FastAPI, prefix: str) -> None:
    """Serve the page at the root, behind all other routes; see `PageFiles`."""
    app.mount("/", PageFiles(prefix), name="page")
