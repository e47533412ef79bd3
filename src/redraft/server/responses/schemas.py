"""Schemas of the Responses API."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from redraft.errors import RequestError
from redraft.server.foreign import ForeignBody
from redraft.server.json_object import JsonObject
from redraft.server.openai.schemas import (
    MAX_OBJECTS,
    Body,
    Bounded,
    ChatRequest,
    Objects,
    Texts,
    Tools,
    length_limit,
)
from redraft.server.turn import chat_request

# Fields that mean nothing here.
IDLE = frozenset(
    "user metadata service_tier safety_identifier prompt_cache_key prompt_cache_retention "
    "max_tool_calls truncation verbosity context_management".split()
)
# Fields that mean something that is not here, and what to do in place of it.
REFUSED = {
    "conversation": "give previous_response_id, or the whole input",
    "prompt": "stored prompts are not here: give input and instructions",
}
LOGPROBS = "message.output_text.logprobs"
ITEM_FIELDS = {"max_completion_tokens": "max_output_tokens", "response_format": "text.format"}
Item = JsonObject


class TextFormat(Body):
    """The format of the text: text, json_object, json_schema with name and schema; redraft's regex,
    choice, grammar."""

    model_config = ConfigDict(extra="allow")
    type: str = "text"

    def chat_format(self) -> JsonObject:
        """Return it as a chat's response_format."""
        extra = self.model_extra or {}
        if self.type == "json_schema":
            return {"type": self.type, "json_schema": extra}
        return {"type": self.type} | extra


class ResponseTextOptions(Body):
    """Options of the text; verbosity means nothing here."""

    model_config = ConfigDict(extra="allow")
    format: TextFormat | None = None


class Reasoning(Body):
    """The switch of the reasoning, and of its summary."""

    model_config = ConfigDict(extra="allow")
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class ResponseStreamOptions(Body):
    """include_drafts: an event for each denoising step. include_obfuscation: ignored."""

    model_config = ConfigDict(extra="allow")
    include_drafts: bool = False


class ResponseRequest(ForeignBody, Bounded):
    """POST /v1/responses. Other fields must be generation settings.

    input: a text, or items. store: keep the response, so that previous_response_id can name it.
    """

    model: str
    input: Annotated[str | Objects, length_limit(MAX_OBJECTS, "items")] = Field(
        default_factory=list
    )
    instructions: str | None = None
    previous_response_id: str | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    tools: Tools | None = None
    tool_choice: Literal["none", "auto", "required"] | JsonObject | None = None
    parallel_tool_calls: bool | None = None
    text: ResponseTextOptions = Field(default_factory=ResponseTextOptions)
    reasoning: Reasoning = Field(default_factory=Reasoning)
    temperature: float | None = Field(default=None, ge=0, le=10)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    include: Texts = Field(default_factory=list)
    store: bool = True
    background: bool = False
    stream: bool = False
    stream_options: ResponseStreamOptions = Field(default_factory=ResponseStreamOptions)
    timeout: float | None = Field(default=None, gt=0)
    method: Literal["diffusion", "autoregressive", "typewriter"] = "diffusion"
    sampler: str | JsonObject | None = None
    stopping: str | JsonObject | None = None
    chat_template_kwargs: JsonObject | None = None

    def checked(self) -> ResponseRequest:
        """Return the request.

        Raises:
            RequestError: it asks for something that is not here.
        """
        for name, remedy in REFUSED.items():
            if name in (self.model_extra or {}):
                raise RequestError(f"{name} is not supported: {remedy}")
        if self.background:
            raise RequestError("background is not supported: leave it out, and stream")
        return self

    @property
    def summarised(self) -> bool:
        """True where the reasoning is sent as a summary too."""
        return bool(self.reasoning.summary or self.reasoning.generate_summary)

    def chat(self, messages: list[JsonObject]) -> ChatRequest:
        """Return the chat that this request is.

        Raises:
            RequestError: a field is invalid.
        """
        logprobs = LOGPROBS in self.include or bool(self.top_logprobs)
        given: JsonObject = {
            "max_completion_tokens": self.max_output_tokens,
            "tools": None if self.tools is None else [_chat_tool(*one) for one in _numbered(self)],
            "tool_choice": self.tool_choice,
            "parallel_tool_calls": self.parallel_tool_calls if self.tools else None,
            "response_format": None if self.text.format is None else self.text.format.chat_format(),
            "reasoning_effort": self.reasoning.effort,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "logprobs": logprobs or None,
            "top_logprobs": (self.top_logprobs or 0) if logprobs else None,
            "timeout": self.timeout,
            "timeout_ms": self.timeout_ms,
            "method": self.method,
            "sampler": self.sampler,
            "stopping": self.stopping,
            "chat_template_kwargs": self.chat_template_kwargs,
        }
        settings = self.further_settings(IDLE)
        named = {name: value for name, value in given.items() if value is not None}
        head = {"model": self.model, "messages": messages}
        return chat_request(settings | named | head, ITEM_FIELDS)


class ResponseObject(BaseModel):
    """A response: its items are in `output`."""

    model_config = ConfigDict(extra="allow")
    id: str
    object: Literal["response"]
    status: str
    output: list[Item]


def _numbered(body: ResponseRequest) -> list[tuple[int, JsonObject]]:
    return list(enumerate(body.tools or []))


def _chat_tool(at: int, tool: JsonObject) -> JsonObject:
    """Return a tool as a chat has it.

    Raises:
        RequestError: it is no function.
    """
    if tool.get("type") != "function":
        raise RequestError(
            f"tools[{at}]: a tool of type {tool.get('type')!r} is not supported: functions are"
        )
    if "function" in tool:
        return tool
    return {
        "type": "function",
        "function": {name: value for name, value in tool.items() if name != "type"},
    }
