"""Schemas of the Messages API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from redraft.errors import RequestError
from redraft.server.foreign import ForeignBody
from redraft.server.json_object import JsonObject
from redraft.server.openai.schemas import (
    MAX_MESSAGES,
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
    "metadata service_tier container context_management inference_geo cache_control speed betas "
    "user_profile_id diagnostics".split()
)
NAMES = {
    "max_completion_tokens": "max_tokens",
    "stop": "stop_sequences",
    "reasoning_effort": "output_config.effort",
    "response_format": "output_config.format",
}
TOOL_FIELDS = {
    "name": "name",
    "description": "description",
    "strict": "strict",
    "input_schema": "parameters",
}
Block = JsonObject


class Thinking(Body):
    """The switch of the reasoning: enabled, adaptive or disabled. budget_tokens means nothing."""

    model_config = ConfigDict(extra="allow")
    type: Literal["enabled", "adaptive", "disabled"]


class ToolChoiceBody(Body):
    """The choice of a tool."""

    model_config = ConfigDict(extra="allow")
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None

    def chat_choice(self) -> str | JsonObject:
        """Return it as a chat has it.

        Raises:
            RequestError: the tool has no name.
        """
        if self.type == "tool":
            if self.name is None:
                raise RequestError("tool_choice of type tool needs the name of a tool")
            return {"type": "function", "function": {"name": self.name}}
        return "required" if self.type == "any" else self.type


class OutputFormat(Body):
    """The schema of an answer."""

    model_config = ConfigDict(extra="allow")
    type: Literal["json_schema"]
    schema_: Any = Field(alias="schema")


class OutputConfig(Body):
    """The form of an answer; effort switches the reasoning on."""

    model_config = ConfigDict(extra="allow")
    effort: str | None = None
    format: OutputFormat | None = None


class CountRequest(ForeignBody, Bounded):
    """POST /v1/messages/count_tokens: a request whose prompt is only counted."""

    model: str
    messages: list[JsonObject] = Field(max_length=MAX_MESSAGES)
    system: Annotated[str | Objects, length_limit(MAX_OBJECTS, "blocks")] | None = None
    tools: Tools | None = None
    tool_choice: ToolChoiceBody | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    timeout: float | None = Field(default=None, gt=0)

    def chat(self, messages: list[JsonObject]) -> ChatRequest:
        """Return the chat that this request is.

        Raises:
            RequestError: a field is invalid.
        """
        given = self._chat_fields()
        settings = self.further_settings(IDLE)
        if "mcp_servers" in (self.model_extra or {}):
            raise RequestError("mcp_servers is not supported: give the tools by themselves")
        named = {name: value for name, value in given.items() if value is not None}
        head = {"model": self.model, "messages": messages}
        return chat_request(settings | named | head, NAMES, within_context=True)

    def _chat_fields(self) -> JsonObject:
        choice, output = self.tool_choice, self.output_config
        format_ = self.output_format or (output.format if output else None)
        parallel = None
        if self.tools and choice is not None and choice.disable_parallel_tool_use is not None:
            parallel = not choice.disable_parallel_tool_use
        schema = None
        if format_ is not None:
            named = {"name": "answer", "schema": format_.schema_}
            schema = {"type": "json_schema", "json_schema": named}
        return {
            "tools": [_chat_tool(at, one) for at, one in enumerate(self.tools or [])] or None,
            "tool_choice": None if choice is None else choice.chat_choice(),
            "parallel_tool_calls": parallel,
            "enable_thinking": None if self.thinking is None else self.thinking.type != "disabled",
            "response_format": schema,
            "timeout": self.timeout,
            "timeout_ms": self.timeout_ms,
        }


class MessageRequest(CountRequest):
    """POST /v1/messages. Other fields must be generation settings. drafts: with a stream, an event
    for each denoising step."""

    max_tokens: int = Field(ge=1)
    stop_sequences: Texts | None = None
    stream: bool = False
    drafts: bool = False
    temperature: float | None = Field(default=None, ge=0, le=10)
    method: Literal["diffusion", "autoregressive", "typewriter"] = "diffusion"
    sampler: str | JsonObject | None = None
    stopping: str | JsonObject | None = None
    chat_template_kwargs: JsonObject | None = None

    def _chat_fields(self) -> JsonObject:
        return super()._chat_fields() | {
            "max_completion_tokens": self.max_tokens,
            "stop": self.stop_sequences or None,
            "temperature": self.temperature,
            "method": self.method,
            "sampler": self.sampler,
            "stopping": self.stopping,
            "chat_template_kwargs": self.chat_template_kwargs,
        }


class AnthropicErrorDetail(BaseModel):
    """The kind of an error, and words for a person."""

    type: str
    message: str


class AnthropicError(BaseModel):
    """An error as Anthropic's clients read it."""

    type: Literal["error"]
    error: AnthropicErrorDetail


def _chat_tool(at: int, tool: JsonObject) -> JsonObject:
    """Return a tool as a chat has it.

    Raises:
        RequestError: it is one that the server itself would have to run.
    """
    if tool.get("type", "custom") != "custom":
        raise RequestError(
            f"tools[{at}]: a tool of type {tool['type']!r} is not supported: those with an "
            "input_schema are"
        )
    function = {ours: tool[name] for name, ours in TOOL_FIELDS.items() if name in tool}
    return {"type": "function", "function": function}
