"""Play: the page in a browser, and what it alone asks for."""

from __future__ import annotations

import random
from typing import Annotated, Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, FastAPI, File, UploadFile
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Scope

from redraft.server.errors import NotHereError
from redraft.server.speech import Recogniser
from redraft.tasks.sudoku_generator import generate
from redraft.web import static_folder

# The page has nothing inline, and asks nobody but this server.
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"


class SudokuRequest(BaseModel):
    """POST /play/sudoku: how hard the puzzle is to be."""

    model_config = ConfigDict(extra="forbid")
    blanks: int = Field(ge=1, le=58)


class Page(StaticFiles):
    """The built page, under its policy."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file."""
        response = await super().get_response(path, scope)
        response.headers["content-security-policy"] = POLICY
        response.headers["x-content-type-options"] = "nosniff"
        response.headers["referrer-policy"] = "no-referrer"
        return response


def play_routes(ears: Recogniser | None) -> APIRouter:
    """What the page asks beside what everybody may."""
    router = APIRouter()

    @router.get("/play/config")
    async def config() -> dict[str, Any]:
        return {"speech": ears is not None}

    @router.post("/play/sudoku")
    async def sudoku(asked: SudokuRequest) -> dict[str, str]:
        puzzle, _ = await run_in_threadpool(generate, random.Random(), asked.blanks)
        return {"puzzle": puzzle.replace("0", ".")}

    limiter: list[anyio.CapacityLimiter] = []

    @router.post("/v1/audio/transcriptions")
    async def transcribe(file: Annotated[UploadFile, File()]) -> dict[str, str]:
        if ears is None:
            raise NotHereError(
                "model", "nothing recognises speech here: start the server with --speech"
            )
        if not limiter:
            limiter.append(anyio.CapacityLimiter(1))  # made in the loop that uses it
        sound = await file.read()
        return {
            "text": await anyio.to_thread.run_sync(
                ears.words, sound, file.filename or "sound", limiter=limiter[0]
            )
        }

    return router


def add_page(app: FastAPI) -> None:
    """Put the page at the address itself, behind all other routes."""
    app.mount("/", Page(directory=static_folder(), html=True), name="page")
