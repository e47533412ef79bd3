"""Drafts: the small protocol in which the streams of every dialect show denoising, as a schema.

The schema is served at /v1/drafts/schema and is in docs/reference/drafts.schema.json.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from redraft.server.json_object import JsonObject

VERSION = 1
Position = Annotated[int, Field(ge=0)]
Hundredths = Annotated[int, Field(ge=0, le=100)]


class CanvasDraft(BaseModel):
    """One denoising step of one canvas."""

    model_config = ConfigDict(strict=True, extra="forbid")
    canvas: int = Field(ge=0, description="number of the canvas in its text, from 0")
    step: int = Field(ge=1, description="number of the denoising step on this canvas, from 1")
    changed: list[tuple[Position, str]] = Field(
        description="position and token of all that differs from the draft of this canvas that was "
        "sent before; the first one of a canvas names every position"
    )
    accepted: list[Position] = Field(
        description="positions whose sample is kept for the next step; all others are noised again"
    )
    revised: list[Position] = Field(
        description="positions whose best guess is another than a step ago"
    )
    confidence: list[Hundredths] = Field(
        description="probability of the best guess of each position, in hundredths"
    )
    entropy: float = Field(ge=0, description="mean entropy over the positions, in nats")
    text: str = Field(
        description="text of the canvas, cut where the answer would end; in an infill, all text of "
        "the candidate as it stands"
    )


class ChoiceDraft(CanvasDraft):
    """A draft of a chat or a completion, the same in all dialects."""

    index: int = Field(ge=0, description="number of the choice")


class InfillDraft(CanvasDraft):
    """An event of /v1/infill, /v1/edits and the edits of a session."""

    object: Literal["infill.draft"]
    candidate: int = Field(ge=0, description="number of the candidate: a width of the holes")


class OpenAIDraftChunk(BaseModel):
    """A chunk of OpenAI's chat and completions, with `stream_options.include_drafts`."""

    model_config = ConfigDict(strict=True, extra="forbid")
    id: str
    object: Literal["chat.completion.chunk", "text_completion"]
    created: int
    model: str
    choices: list[Any] = Field(max_length=0)
    draft: ChoiceDraft


class ResponsesDraftEvent(BaseModel):
    """An event of OpenAI's Responses, with `stream_options.include_drafts`."""

    model_config = ConfigDict(strict=True, extra="forbid")
    type: Literal["redraft.draft"]
    sequence_number: int = Field(ge=0)
    draft: ChoiceDraft


class AnthropicDraftEvent(BaseModel):
    """An event of Anthropic's messages, with `drafts: true`."""

    model_config = ConfigDict(strict=True, extra="forbid")
    type: Literal["draft"]
    draft: ChoiceDraft


class OllamaDraftLine(BaseModel):
    """A line of Ollama's /api/chat and /api/generate, with `drafts: true`."""

    model_config = ConfigDict(strict=True, extra="allow")
    model: str
    created_at: str
    done: Literal[False]
    draft: ChoiceDraft


class DraftMessage(
    RootModel[
        InfillDraft | OpenAIDraftChunk | ResponsesDraftEvent | AnthropicDraftEvent | OllamaDraftLine
    ]
):
    """Message of a stream for one denoising step, in any of its forms."""


def draft_schema() -> JsonObject:
    """Return the JSON schema of all that streams send for a denoising step."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:redraft:drafts:{VERSION}",
    }
    return head | DraftMessage.model_json_schema()
