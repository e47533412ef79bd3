"""Filling in and editing: what only a model that sees both ways can do, under routes of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Literal, cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from redraft.editing import Hole, Infilled, Template, plan_infill, rewriting
from redraft.editing.diff import unified_diff
from redraft.editing.options import MAX_CANDIDATES, InfillOptions
from redraft.editing.template import MAX_TOKENS
from redraft.engine import Work
from redraft.errors import RequestError
from redraft.events import Draft
from redraft.server.openai.schemas import STREAMS, ResponseFormat, settings_among
from redraft.server.openai.stream import Voice
from redraft.server.openai.translate import response_constraint
from redraft.server.runtime.registry import Registry, ServedModel
from redraft.server.runtime.sse import streamed, unless_gone

Told = Callable[[Infilled], dict[str, Any]]


class Options(BaseModel):
    """Fields of all; others must be settings of the generation. timeout: seconds. stream: drafts as
    they come."""

    model_config = ConfigDict(extra="allow")
    instruction: str | None = None
    seed: int | None = None
    max_candidates: int = Field(default=MAX_CANDIDATES, ge=1, le=32)
    max_tokens: int | None = Field(default=None, ge=1, le=4096)
    timeout: float | None = Field(default=None, gt=0)
    stream: bool = False

    def settings(self) -> InfillOptions:
        """Return the options of `Model.infill`."""
        extra = settings_among(self.model_extra or {})
        seed = {} if self.seed is None else {"seed": self.seed}
        return cast(InfillOptions, extra | seed | {"max_candidates": self.max_candidates})


class InfillRequest(Options):
    """POST /v1/infill: a text with `<hole>` marks. formats: of each hole, or of all."""

    model: str
    template: str
    formats: list[ResponseFormat] | None = None

    def parts(self) -> Template:
        """Texts and holes.

        Raises:
            RequestError: there are other formats than holes.
        """
        whole = Template.of(self.template)
        count = len(whole.holes)
        formats = self.formats or []
        if len(formats) not in (0, 1, count):
            raise RequestError(
                f"{len(formats)} formats for {count} holes: give one for all, or one each"
            )
        each: list[ResponseFormat | None] = [
            *(formats * count if len(formats) == 1 else formats)
        ] or [None] * count
        holes = [
            Hole(
                1, self.max_tokens or MAX_TOKENS, None if one is None else response_constraint(one)
            )
            for one in each
        ]
        return Template(whole.texts, tuple(holes))


class Change(Options):
    """Spans of characters of a text rewritten; an empty span is a place to insert something."""

    spans: list[tuple[int, int]] = Field(min_length=1)
    kind: Literal["rewrite", "insert"] = "rewrite"

    def plan(self, served: ServedModel, text: str) -> Work:
        """Return the work that makes the change in a text.

        Raises:
            RequestError: the spans do not lie in it, or something is to be inserted in place of
                what is there.
        """
        hole = None if self.max_tokens is None else Hole(1, self.max_tokens)
        instruction = self.instruction
        if self.kind == "insert":
            if any(first != last for first, last in self.spans):
                raise RequestError("to insert, first and last of a span are one place")
            template = Template.around(text, self.spans, hole)
        else:
            template, instruction = rewriting(
                served.model.processor, text, self.spans, instruction, hole
            )
        return plan_infill(served.model.processor, template, instruction, self.settings())


class EditRequest(Change):
    """POST /v1/edits."""

    model: str
    text: str


def filling_routes(models: Registry) -> APIRouter:
    """What is filled in."""
    router = APIRouter()

    @router.post("/v1/infill", response_model=None, responses=STREAMS)
    async def infill(asked: InfillRequest, request: Request) -> Response:
        served = models[asked.model]

        def make() -> Work:
            return plan_infill(
                served.model.processor, asked.parts(), asked.instruction, asked.settings()
            )

        return await answer(
            served,
            make,
            asked,
            request,
            lambda filled: told(served, "infill", asked.template, filled),
        )

    @router.post("/v1/edits", response_model=None, responses=STREAMS)
    async def edit(asked: EditRequest, request: Request) -> Response:
        served = models[asked.model]

        def make() -> Work:
            return asked.plan(served, asked.text)

        def changed(filled: Infilled) -> dict[str, Any]:
            return told(served, "edit", asked.text, filled) | {
                "diff": unified_diff(asked.text, filled.text, "text")
            }

        return await answer(served, make, asked, request, changed)

    return router


async def answer(
    served: ServedModel, make: Callable[[], Work], asked: Options, request: Request, tell: Told
) -> Response:
    """Fill in, and tell what came of it: as a whole, or behind the drafts."""
    chunks = _chunks(served, make, asked, tell)
    if asked.stream:
        return await streamed(request, chunks)
    return JSONResponse(await unless_gone(request, _last(chunks)))


async def _chunks(
    served: ServedModel, make: Callable[[], Work], asked: Options, tell: Told
) -> AsyncGenerator[dict[str, Any], None]:
    """Drafts, and last what came of it, which is told in a thread: texts are tokenized and compared
    for it."""
    voices: dict[int, Voice] = {}
    async with aclosing(served.infill(make, asked.timeout, drafts=asked.stream)) as events:
        async for event in events:
            if isinstance(event, Infilled):
                yield await run_in_threadpool(tell, event)
            else:
                voice = voices.setdefault(
                    event.candidate, Voice(served.model.tokenizer, calls=False)
                )
                yield _draft(event, voice)


async def _last(chunks: AsyncGenerator[dict[str, Any], None]) -> dict[str, Any]:
    async with aclosing(chunks):
        return [chunk async for chunk in chunks][-1]


def _draft(event: Draft, voice: Voice) -> dict[str, Any]:
    """A step of a candidate, as a chat tells of one of its choices."""
    drawn = voice.draft(event)
    return {"object": "infill.draft", "candidate": event.candidate} | drawn


def told(served: ServedModel, kind: str, given: str, filled: Infilled) -> dict[str, Any]:
    """A filled text, and all that was tried. given: the text that was asked with."""
    return {
        "object": kind,
        "model": served.name,
        "text": filled.text,
        "fills": list(filled.fills),
        "seed": filled.seed,
        "score": filled.candidates[0].score,
        "candidates": [
            {
                "fills": list(one.fills),
                "score": one.score,
                "steps": one.steps,
                "widths": list(one.widths),
            }
            for one in filled.candidates
        ],
        "right_context": list(filled.right_context),
        "usage": usage(served, given, filled),
    }


def usage(served: ServedModel, given: str, filled: Infilled) -> dict[str, Any]:
    """Tokens of what was given and of what was filled in, and the steps of each candidate."""
    assert served.model.tokenizer is not None
    read, *written = (
        len(served.model.tokenizer.encode(text, bos=False)) for text in (given, *filled.fills)
    )
    return {
        "prompt_tokens": read,
        "completion_tokens": sum(written),
        "total_tokens": read + sum(written),
        "steps": [[one.steps for one in filled.candidates]],
    }
