"""Schemas of Ollama's requests."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from redraft.errors import RequestError
from redraft.server.foreign import SETTINGS, ForeignBody, split_settings
from redraft.server.images import data_url
from redraft.server.json_object import JsonObject
from redraft.server.ollama.waiting import Waiting
from redraft.server.openai.schemas import (
    MAX_MESSAGES,
    Body,
    Bounded,
    ChatRequest,
    Objects,
    ResponseFormat,
    Texts,
    TokenIds,
    Tools,
    checked_stops,
)
from redraft.server.turn import chat_request

# Options that mean nothing here: how tokens are drawn one by one, and where they are computed.
IDLE = frozenset(
    "num_ctx num_keep num_batch num_gpu main_gpu num_thread numa low_vram vocab_only use_mmap "
    "use_mlock f16_kv logits_all embedding_only rope_frequency_base rope_frequency_scale "
    "repeat_last_n penalize_newline typical_p tfs_z mirostat mirostat_tau mirostat_eta "
    "draft_num_predict num_gqa".split()
)
NAMES = {
    "max_completion_tokens": "options.num_predict",
    "top_logprobs": "top_logprobs",
    "response_format": "format",
    "reasoning_effort": "think",
}
LATEST = ":latest"  # the tag of a name without one
Format = JsonObject | Literal["json", ""]


class OllamaMessage(Body):
    """A message: role, content, images in base64, tool_calls, thinking, tool_name."""

    model_config = ConfigDict(extra="allow")
    role: str
    content: str | None = None
    images: Texts | None = None
    tool_calls: Objects | None = None
    thinking: str | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class OllamaOptions(Body):
    """Options of a generation; other fields must be generation settings, or names of Ollama's that
    mean nothing here."""

    model_config = ConfigDict(extra="allow")
    num_predict: int | None = None
    temperature: float | None = Field(default=None, le=10)
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: str | Texts | None = None

    def settings(self) -> JsonObject:
        """Return the generation options, without the limit of tokens.

        Raises:
            RequestError: an option looks like a misspelt one.
        """
        extra = {
            name: value for name, value in (self.model_extra or {}).items() if value is not None
        }
        given = {
            "temperature": None if self.temperature is None else max(0.0, self.temperature),
            "top_k": None if self.top_k is None else max(0, self.top_k),
            "top_p": None if self.top_p is None else min(1.0, max(1e-6, self.top_p)),
            "min_p": None if self.min_p is None else min(1.0, max(0.0, self.min_p)),
            "repetition_penalty": self.repeat_penalty,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            # Negative ones draw a seed.
            "seed": None if self.seed is None or self.seed < 0 else self.seed,
            "stop": None if (stops := checked_stops(self.stop)) is None else list(stops),
        }
        named = {name: value for name, value in given.items() if value is not None}
        return split_settings(extra, type(self).model_fields, IDLE) | named

    @property
    def limit(self) -> int | None:
        """The limit of new tokens; None where there is none (-1 and -2)."""
        return None if self.num_predict is None or self.num_predict < 0 else self.num_predict

    @property
    def ignored(self) -> list[str]:
        """Names of the options that were given and have no effect."""
        return sorted(f"options.{name}" for name in self.model_extra or {} if name not in SETTINGS)


class OllamaRequest(ForeignBody, Bounded):
    """Fields of a chat and of a completion. drafts: with a stream, a line for each denoising step.

    format: "json", or a JSON Schema. think: switch the reasoning on or off, or an effort.
    """

    model: str
    stream: bool = True
    format: Format | None = None
    options: OllamaOptions = Field(default_factory=OllamaOptions)
    think: bool | str | None = None
    keep_alive: str | int | float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    timeout: float | None = Field(default=None, gt=0)
    drafts: bool = False

    @property
    def name(self) -> str:
        """The name of the model without the tag that stands for none."""
        return self.model.removesuffix(LATEST)

    @property
    def ignored(self) -> list[str]:
        keep = ["keep_alive"] if self.keep_alive is not None else []
        return super().ignored + keep + self.options.ignored

    @property
    def reason_to_load(self) -> str:
        """The reason of a request without a prompt: to load the model, or to let go of it. It stays
        in either case."""
        return "unload" if self.keep_alive in (0, "0", "0s") else "load"

    def _chat(self, messages: list[JsonObject], tools: list[JsonObject] | None) -> ChatRequest:
        settings = self.options.settings() | self.further_settings()
        thinking: JsonObject = {}
        if isinstance(self.think, bool):
            thinking = {"enable_thinking": self.think}
        elif self.think is not None:
            thinking = {"reasoning_effort": self.think}
        given = {
            "max_completion_tokens": self.options.limit,
            "tools": tools or None,
            "response_format": self.response_format(),
            "logprobs": self.logprobs,
            "top_logprobs": self.top_logprobs if self.logprobs else None,
            "timeout": self.timeout,
            "timeout_ms": self.timeout_ms,
        } | thinking
        named = {name: value for name, value in given.items() if value is not None}
        head = {"model": self.name, "messages": messages}
        return chat_request(settings | named | head, NAMES, within_context=True)

    def response_format(self) -> ResponseFormat | None:
        """Return the format as a chat has it; None for a free text."""
        if not self.format:
            return None
        if self.format == "json":
            return ResponseFormat(type="json_object")
        named = {"name": "answer", "schema": self.format}
        return ResponseFormat.model_validate({"type": "json_schema", "json_schema": named})


class OllamaChatRequest(OllamaRequest):
    """POST /api/chat."""

    messages: list[OllamaMessage] = Field(default_factory=list, max_length=MAX_MESSAGES)
    tools: Tools | None = None

    def chat(self) -> ChatRequest:
        """Return the chat that this request is; errors as for `chat_request`."""
        return self._chat(_messages(self.messages), self.tools)


class OllamaGenerateRequest(OllamaRequest):
    """POST /api/generate. raw: the prompt is continued as it is. suffix: the text between prompt
    and suffix is written."""

    prompt: str = ""
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: TokenIds | None = None
    images: Texts | None = None
    raw: bool = False

    def checked(self) -> OllamaGenerateRequest:
        """Return the request.

        Raises:
            RequestError: it asks for something that is not here.
        """
        if self.template:
            raise RequestError("template is not supported: give raw with the whole prompt")
        if self.context:
            raise RequestError("context is not supported: send the messages to /api/chat")
        if self.raw and (self.images or self.system):
            raise RequestError("a raw prompt has neither system nor images: leave them out")
        return self

    def chat(self) -> ChatRequest:
        """Return the chat of one message that this request is; errors as for `chat_request`."""
        before = [{"role": "system", "content": self.system}] if self.system else []
        user: JsonObject = {"role": "user", "content": _content(self.prompt, self.images)}
        return self._chat([*before, user], None)


class ShowRequest(ForeignBody):
    """POST /api/show. name: the older word for model."""

    model: str | None = None
    name: str | None = None
    verbose: bool = False


class OllamaError(BaseModel):
    """An error as Ollama's clients read it."""

    error: str


def _messages(given: list[OllamaMessage]) -> list[JsonObject]:
    """Return the messages of a chat. Ollama's calls have no ids: a result belongs to the first call
    of its name, or else to the first, that has none yet."""
    found: list[JsonObject] = []
    waiting = Waiting([])
    for at, message in enumerate(given):
        content = _content(message.content or "", message.images)
        one: JsonObject = {"role": message.role, "content": content}
        if message.thinking:
            one["reasoning_content"] = message.thinking
        if message.tool_calls:
            calls = [_call(call, f"messages[{at}]", n) for n, call in enumerate(message.tool_calls)]
            waiting = Waiting([(call["id"], call["function"]["name"]) for call in calls])
            one |= {"tool_calls": calls, "content": content or None}
        if message.role == "tool":
            one |= _answered(message, waiting)
        found.append(one)
    return found


def _call(call: JsonObject, place: str, number: int) -> JsonObject:
    """Return a call with an id.

    Raises:
        RequestError: it has no name.
    """
    match call:
        case {"function": {"name": str()}}:
            return call | {"id": call.get("id") or f"call_{number}"}
    raise RequestError(f"{place}: a call needs a function with a name")


def _answered(result: OllamaMessage, waiting: Waiting) -> JsonObject:
    """Return the id and the name of the call that a result belongs to, which no longer waits."""
    # Older clients name the tool in `name`.
    tool = result.tool_name or (result.model_extra or {}).get("name")
    one = waiting.take(result.tool_call_id, tool)
    if one is None:
        return {"tool_call_id": result.tool_call_id}
    return {"tool_call_id": one[0], "name": one[1]}


def _content(text: str, images: list[str] | None) -> Any:
    """Return a text, or parts where there are images."""
    if not images:
        return text
    parts = [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in images]
    return [*parts, {"type": "text", "text": text}]
