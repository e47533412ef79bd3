"""Routes of infilling and editing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field, StrictInt

from redraft.editing import Hole, Infilled, Template, plan_infill, rewriting
from redraft.editing.diff import unified_diff
from redraft.editing.options import MAX_CANDIDATES, InfillOptions
from redraft.editing.template import MAX_TOKENS
from redraft.engine import Work
from redraft.errors import RequestError
from redraft.events import Draft
from redraft.server.drafts import draft_schema
from redraft.server.json_body import json_router
from redraft.server.json_object import JsonObject
from redraft.server.json_text import json_answer
from redraft.server.openai.constraints import response_constraint
from redraft.server.openai.schemas import STREAMS, ResponseFormat, Strategies, settings_among
from redraft.server.openai.stream import ChoiceStream
from redraft.server.runtime.pools import in_pool
from redraft.server.runtime.registry import HostedModel, Registry
from redraft.server.runtime.sse import stream_response, while_connected

Report = Callable[[Infilled], Awaitable[JsonObject]]
# JSON has lists for tuples.
Span = Annotated[tuple[StrictInt, StrictInt], Field(strict=False)]

# Holes, or spans, of one request.
MAX_HOLES = 256


class Options(Strategies):
    """Fields of all requests; others must be generation settings. timeout: seconds. stream: drafts
    as they come."""

    model_config = ConfigDict(extra="allow")
    instruction: str | None = None
    seed: int | None = None
    max_candidates: int = Field(default=MAX_CANDIDATES, ge=1, le=32)
    max_tokens: int | None = Field(default=None, ge=1, le=4096)
    timeout: float | None = Field(default=None, gt=0)
    stream: bool = False

    def settings(self) -> InfillOptions:
        """Return the options of `Model.infill`."""
        extra = settings_among(self)
        seed = {} if self.seed is None else {"seed": self.seed}
        search = {"max_candidates": self.max_candidates} | self.strategies()
        return cast(InfillOptions, extra | seed | search)


class InfillRequest(Options):
    """POST /v1/infill: a text with `<hole>` marks; one format for every hole, or one for all."""

    model: str
    template: str
    formats: list[ResponseFormat] | None = Field(default=None, max_length=MAX_HOLES)

    def parts(self) -> Template:
        """Return the template.

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
        if count > MAX_HOLES:
            raise RequestError(f"{count} holes are more than a request may have: {MAX_HOLES}")
        # One format for all holes is read once.
        made = [response_constraint(one) for one in formats] or [None]
        each = made * count if len(made) == 1 else made
        holes = [Hole(1, self.max_tokens or MAX_TOKENS, one) for one in each]
        return Template(whole.texts, tuple(holes))


class EditOptions(Options):
    """Spans of characters to rewrite; an empty span is a place to insert text."""

    spans: list[Span] = Field(min_length=1, max_length=MAX_HOLES)
    kind: Literal["rewrite", "insert"] = "rewrite"

    def plan(self, hosted: HostedModel, text: str) -> Work:
        """Return the work that makes the change in a text.

        Raises:
            RequestError: a span lies outside the text, or an insertion has a span that is not
                empty.
        """
        hole = None if self.max_tokens is None else Hole(1, self.max_tokens)
        instruction = self.instruction
        if self.kind == "insert":
            if any(first != last for first, last in self.spans):
                raise RequestError("to insert, first and last of a span are one place")
            template = Template.around(text, self.spans, hole)
        else:
            template, instruction = rewriting(
                hosted.model.processor, text, self.spans, instruction, hole
            )
        return plan_infill(hosted.model.processor, template, instruction, self.settings())


class EditRequest(EditOptions):
    """POST /v1/edits."""

    model: str
    text: str


def infill_routes(models: Registry) -> APIRouter:
    """Return the routes that fill holes, and the one that describes the drafts of streams."""
    router = json_router()

    @router.get("/v1/drafts/schema")
    async def schema() -> JsonObject:
        """Return the JSON schema of what streams send for a denoising step."""
        return draft_schema()

    @router.post("/v1/infill", response_model=None, responses=STREAMS)
    async def infill(body: InfillRequest, request: Request) -> Response:
        hosted = models[body.model]

        def plan() -> Work:
            return plan_infill(
                hosted.model.processor, body.parts(), body.instruction, body.settings()
            )

        return await answer(
            hosted,
            plan,
            body,
            request,
            lambda filled: infill_report(hosted, "infill", body.template, filled),
        )

    @router.post("/v1/edits", response_model=None, responses=STREAMS)
    async def edit(body: EditRequest, request: Request) -> Response:
        hosted = models[body.model]

        def plan() -> Work:
            return body.plan(hosted, body.text)

        async def changed(filled: Infilled) -> JsonObject:
            told = await infill_report(hosted, "edit", body.text, filled)
            texts = body.text, filled.text, "text"
            diff = await in_pool("diff", unified_diff, *texts, follow_up=True)
            return told | {"diff": diff}

        return await answer(hosted, plan, body, request, changed)

    return router


async def answer(
    hosted: HostedModel, plan: Callable[[], Work], body: Options, request: Request, report: Report
) -> Response:
    """Answer with the result of an infill: whole, or behind its drafts."""
    chunks = _chunks(hosted, plan, body, report)
    if body.stream:
        return body.noted(await stream_response(request, chunks))
    return body.noted(await json_answer(await while_connected(request, _last(chunks))))


async def _chunks(
    hosted: HostedModel, plan: Callable[[], Work], body: Options, report: Report
) -> AsyncGenerator[JsonObject, None]:
    """Yield drafts, then the report of the result."""
    streams: dict[int, ChoiceStream] = {}
    constrained = isinstance(body, InfillRequest) and bool(body.formats)
    filling = hosted.infill(
        plan,
        body.timeout,
        drafts=body.stream,
        constrained=constrained,
        deadline=body.deadline,
    )
    async with aclosing(filling) as events:
        async for event in events:
            if isinstance(event, Infilled):
                yield await report(event)
            else:
                stream = streams.setdefault(event.candidate, ChoiceStream(hosted.model.tokenizer))
                yield _draft(event, stream)


async def _last(chunks: AsyncGenerator[JsonObject, None]) -> JsonObject:
    async with aclosing(chunks):
        return [chunk async for chunk in chunks][-1]


def _draft(event: Draft, stream: ChoiceStream) -> JsonObject:
    """Return a denoising step of a candidate, in the form of a chat's drafts."""
    drawn = stream.draft(event)
    return {"object": "infill.draft", "candidate": event.candidate} | drawn


async def infill_report(hosted: HostedModel, kind: str, given: str, filled: Infilled) -> JsonObject:
    """Return a filled text and all candidates as JSON; `given` is the text of the request, whose
    tokens are counted in a thread."""
    counted = await in_pool("tokens", usage, hosted, given, filled, follow_up=True)
    return {
        "object": kind,
        "model": hosted.name,
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
        "usage": counted,
    } | ({} if filled.settled else {"settled": False})


def usage(hosted: HostedModel, given: str, filled: Infilled) -> JsonObject:
    """Return the tokens of the request and of the fills, and the steps of each candidate."""
    assert hosted.model.tokenizer is not None
    read, *written = (
        len(hosted.model.tokenizer.encode(text, bos=False)) for text in (given, *filled.fills)
    )
    return {
        "prompt_tokens": read,
        "completion_tokens": sum(written),
        "total_tokens": read + sum(written),
        "steps": [[one.steps for one in filled.candidates]],
    }
