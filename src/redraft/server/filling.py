"""Filling in and editing: what only a model that sees both ways can do, under routes of its own."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from redraft.editing import Hole, Infilled, Model, Template
from redraft.editing.diff import unified_diff
from redraft.editing.model import CANDIDATES
from redraft.editing.template import MOST_TOKENS
from redraft.errors import RequestError
from redraft.server.jobs import response_constraint
from redraft.server.wire import ResponseFormat, settings_among


class Options(BaseModel):
    """Fields of all; others must be settings of the generation."""

    model_config = ConfigDict(extra="allow")
    model: str
    instruction: str | None = None
    seed: int | None = None
    max_candidates: int = Field(default=CANDIDATES, ge=1, le=32)
    max_tokens: int | None = Field(default=None, ge=1, le=4096)

    def settings(self) -> dict[str, Any]:
        """Options of `Model.infill`."""
        extra = settings_among(self.model_extra or {})
        seed = {} if self.seed is None else {"seed": self.seed}
        return extra | seed | {"max_candidates": self.max_candidates, "instruction": self.instruction}


class InfillRequest(Options):
    """POST /v1/infill: a text with `<hole>` marks. formats: of each hole, or of all."""

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
            raise RequestError(f"{len(formats)} formats for {count} holes: give one for all, or one each")
        each: list[ResponseFormat | None] = [*(formats * count if len(formats) == 1 else formats)] or [None] * count
        holes = [Hole(1, self.max_tokens or MOST_TOKENS, one and response_constraint(one)) for one in each]
        return Template(whole.texts, tuple(holes))


class EditRequest(Options):
    """POST /v1/edits: spans of characters of a text rewritten; an empty span is a place to insert something."""

    text: str
    spans: list[tuple[int, int]] = Field(min_length=1)
    kind: Literal["rewrite", "insert"] = "rewrite"


def infill(model: Model, asked: InfillRequest) -> dict[str, Any]:
    """The filled text, and what stands in each hole."""
    return _told(asked.model, "infill", model.infill(asked.parts(), **asked.settings()))


def edit(model: Model, asked: EditRequest) -> dict[str, Any]:
    """The changed text, and the change as a diff."""
    hole = None if asked.max_tokens is None else Hole(1, asked.max_tokens)
    options = asked.settings()
    if asked.kind == "insert":
        if any(first != last for first, last in asked.spans):
            raise RequestError("to insert, first and last of a span are one place")
        filled = model.infill(Template.around(asked.text, asked.spans, hole), **options)
    else:
        filled = model.rewrite(asked.text, asked.spans, hole=hole, **options)
    return _told(asked.model, "edit", filled) | {"diff": unified_diff(asked.text, filled.text, "text")}


def _told(name: str, kind: str, filled: Infilled) -> dict[str, Any]:
    best = filled.candidates[0]
    return {
        "object": kind,
        "model": name,
        "text": filled.text,
        "fills": list(filled.fills),
        "seed": filled.seed,
        "score": best.score,
        "candidates": [
            {"fills": list(one.fills), "score": one.score, "steps": one.steps, "widths": list(one.widths)}
            for one in filled.candidates
        ],
        "right_context": list(filled.right_context),
        "usage": {"steps": sum(one.steps for one in filled.candidates)},
    }
