"""Schemas of OpenAI's requests."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any, Literal, Self

from fastapi import Response
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from redraft.config.generation import check_names
from redraft.errors import RequestError
from redraft.server.idle_fields import IGNORED
from redraft.server.json_object import JsonObject

STREAMS: dict[int | str, JsonObject] = {
    200: {"content": {"text/event-stream": {}, "application/json": {}}}
}
# What is accepted and has no effect is named in the header of the answer.
IGNORED_HEADER = "X-Redraft-Ignored"
HEADER_WORD, MAX_NAMED = re.compile(r"[\w.-]{1,64}", re.ASCII), 32
# Names of one limit; the last is llama.cpp's, where -1 is none.
TOKEN_LIMITS = ("max_tokens", "max_completion_tokens", "max_new_tokens", "n_predict")

# Limits on what one request may cost at every step.
MAX_STEPS = 2000
MAX_BIASES, MAX_MESSAGES = 4096, 10_000
MAX_OBJECTS, MAX_TOOLS = 4096, 1024
MAX_FIELDS = 512  # of a request, and of each part of it that has fields of its own
MAX_ERRORS = 1000  # in the values of a request, each of which is described
MAX_STRATEGY = 1000  # characters of a sampler with its options
MAX_MILLISECONDS = 10**12  # a number of 400 digits is no time
# Bytes of a text to tokenize, and tokens of an answer or of a text to put together.
MAX_TOKENIZED, MAX_LISTED = 1 << 20, 256 << 10
MAX_STOPS, MAX_STOP_CHARACTERS = 64, 1000


def length_limit(limit: int, what: str, but: type | None = None) -> BeforeValidator:
    """Return a check of the length of a list, before its values are looked at. It is for fields
    that may be something else, of which pydantic's own check would tell the other first.

    Args:
        but: a list that begins with one of these is not checked.
    """

    def checked(given: Any) -> Any:
        is_long = isinstance(given, list) and len(given) > limit
        if is_long and (but is None or not isinstance(given[0], but)):
            counts = {"count": len(given), "limit": limit, "what": what}
            words = "{count} {what} are more than one request takes: {limit}"
            raise PydanticCustomError("too_long", words, counts)
        return given

    return BeforeValidator(checked)


# Long lists, of which the first wrong value is the error: to note each takes seconds.
Texts = Annotated[list[str], Field(fail_fast=True)]
Strategy = Annotated[str, Field(max_length=MAX_STRATEGY)]
TokenIds = Annotated[list[int], Field(fail_fast=True)]
# A list is counted before its objects are looked at.
Objects = Annotated[list[JsonObject], Field(fail_fast=True, max_length=MAX_OBJECTS)]
Tools = Annotated[list[JsonObject], Field(fail_fast=True, max_length=MAX_TOOLS)]


class Body(BaseModel):
    """A request: numbers, booleans and strings are not taken for one another."""

    model_config = ConfigDict(strict=True)

    @model_validator(mode="wrap")
    @classmethod
    def _few_errors(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Tell the number of fields or of errors where it is large: to look at each takes long."""
        if isinstance(value, dict) and len(value) > MAX_FIELDS:
            counts = {"count": len(value), "limit": MAX_FIELDS}
            raise PydanticCustomError("too_many_fields", "{count} fields, {limit} may be", counts)
        try:
            return handler(value)
        except ValidationError as error:
            if (count := error.error_count()) <= MAX_ERRORS:
                raise
            words = "{count} values are of another type than they must be"
        raise PydanticCustomError("too_many_errors", words, {"count": count})

    @property
    def ignored(self) -> list[str]:
        """Names of the fields that were given and have no effect."""
        return [name for name in self.model_extra or {} if name in IGNORED]

    def noted(self, answer: Response) -> Response:
        """Return an answer whose header names what was ignored."""
        if named := [name for name in self.ignored if HEADER_WORD.fullmatch(name)]:
            answer.headers[IGNORED_HEADER] = ", ".join(named[:MAX_NAMED])
        return answer


def settings_among(body: Body) -> JsonObject:
    """Return the further fields of a request that are generation settings, without those that mean
    nothing here.

    Raises:
        UnknownOptionError: a field is neither. RequestError: max_denoising_steps is too large, or a
            field can only be ignored with another value.
    """
    extra = body.model_extra or {}
    for name, admitted in IGNORED.items():
        if name in extra and admitted is not None and extra[name] not in admitted:
            raise RequestError(f"{name}={extra[name]!r} is not supported: {admitted[0]!r} is")
    found = {name: value for name, value in extra.items() if name not in IGNORED}
    check_names(found, other_names=[*type(body).model_fields, *IGNORED])
    bias = found.get("logit_bias")
    if isinstance(bias, dict | list) and len(bias) > MAX_BIASES:
        raise RequestError(f"logit_bias has {len(bias)} tokens, {MAX_BIASES} may be named")
    steps = found.get("max_denoising_steps")
    if isinstance(steps, int) and steps > MAX_STEPS:
        raise RequestError(
            f"max_denoising_steps={steps} is more than this server takes: {MAX_STEPS}"
        )
    return found


def checked_stops(given: str | list[str] | None) -> tuple[str, ...] | None:
    """Return stop strings; None for none.

    Raises:
        RequestError: they are too many or too long: they are looked for at every step.
    """
    stops = (given,) if isinstance(given, str) else tuple(given or ())
    if len(stops) > MAX_STOPS or any(len(stop) > MAX_STOP_CHARACTERS for stop in stops):
        raise RequestError(
            f"stop takes {MAX_STOPS} strings of {MAX_STOP_CHARACTERS} characters at most"
        )
    return stops or None


class Bounded(Body):
    """A request that may have a time bound.

    timeout_ms: milliseconds from the request's arrival, after which the best draft so far is the
        answer, with `settled: false`; no sooner than after the first denoising step.
    """

    timeout: float | None = Field(default=None, gt=0)
    timeout_ms: int | None = Field(default=None, ge=1, le=MAX_MILLISECONDS)
    _arrived: float = PrivateAttr(default_factory=time.monotonic)

    def arrived_with(self, other: Bounded) -> Self:
        """Return this request, as one that has arrived with another."""
        self._arrived = other._arrived
        return self

    @property
    def deadline(self) -> float | None:
        """Time of `time.monotonic` at which the bound is over; None for no bound."""
        return None if self.timeout_ms is None else self._arrived + self.timeout_ms / 1000


class Strategies(Bounded):
    """Strategies of denoising: `sampler` decides each step, `stopping` when a canvas is settled.

    Each is a name, `confidence:threshold=0.9`, or `{"name": "confidence", "threshold": 0.9}`.
    """

    sampler: Strategy | JsonObject | None = None
    stopping: Strategy | JsonObject | None = None

    def strategies(self) -> JsonObject:
        """Return those that were given, as options of `Model.infill`."""
        given = {"sampler": self.sampler, "stopping": self.stopping}
        return {name: value for name, value in given.items() if value is not None}


class StreamOptions(Body):
    """Options of a stream.

    include_usage: a last chunk with the usage. include_drafts: a chunk for each denoising step.
        include_obfuscation: ignored.
    """

    model_config = ConfigDict(extra="forbid")
    include_usage: bool = False
    include_drafts: bool = False
    include_obfuscation: bool = False


class Common(Strategies):
    """Fields of all requests; null means that a field is not given.

    Other fields must be generation settings, such as entropy_bound. method: "autoregressive" writes
    with the same weights from left to right.
    """

    model_config = ConfigDict(extra="allow")
    model: str
    max_tokens: int | None = Field(default=None, ge=1)
    n_predict: int | None = Field(default=None, ge=-1)
    temperature: float | None = Field(default=None, ge=0, le=10)
    seed: int | None = None
    n: int = Field(default=1, ge=1, le=16)
    stop: str | Texts | None = None
    timeout: float | None = Field(default=None, gt=0)
    method: Literal["diffusion", "autoregressive", "typewriter"] = "diffusion"
    stream: bool = False
    stream_options: StreamOptions = Field(default_factory=StreamOptions)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    # JSON's keys are texts.
    logit_bias: dict[Annotated[int, Field(strict=False)], float] | None = Field(
        default=None, max_length=MAX_BIASES
    )

    @model_validator(mode="before")
    @classmethod
    def without_null(cls, given: Any) -> Any:
        """Drop fields that are null: OpenAI's clients send null for what is not given."""
        return (
            {name: value for name, value in given.items() if value is not None}
            if isinstance(given, dict)
            else given
        )

    def settings(self) -> JsonObject:
        """Return the generation options.

        Raises:
            UnknownOptionError: a field is no such option.
        """
        named = {
            "max_new_tokens": self._token_limit(),
            "temperature": self.temperature,
            "seed": self.seed,
            "stop": checked_stops(self.stop),
            "logit_bias": self.logit_bias or None,
            "frequency_penalty": self.frequency_penalty,
            "presence_penalty": self.presence_penalty,
        }
        extra = settings_among(self)
        return extra | {name: value for name, value in named.items() if value is not None}

    @property
    def ignored(self) -> list[str]:
        obfuscation = self.stream_options.include_obfuscation
        return super().ignored + ["stream_options.include_obfuscation"] * obfuscation

    def _token_limit(self) -> Any:
        """Return the limit of new tokens, under whatever name it comes; None for none.

        Raises:
            RequestError: two names have two limits.
        """
        if self.n_predict == 0:
            raise RequestError("n_predict=0 writes nothing: give 1 or more, or -1 for no limit")
        fields = {**self.__dict__, **(self.model_extra or {})}
        if self.n_predict == -1:
            del fields["n_predict"]
        given = {name: fields[name] for name in TOKEN_LIMITS if fields.get(name) is not None}
        if len({repr(limit) for limit in given.values()}) > 1:
            said = " and ".join(f"{name}={limit!r}" for name, limit in given.items())
            raise RequestError(f"{said} are two limits of one thing: give one")
        return next(iter(given.values()), None)


class JsonSchemaFormat(Body):
    """A JSON Schema and its name."""

    model_config = ConfigDict(extra="allow")
    name: str = "answer"
    schema_: Any = Field(alias="schema")


class ResponseFormat(Body):
    """Format of an answer: text, json_object, json_schema; redraft's regex, choice, grammar."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["text", "json_object", "json_schema", "regex", "choice", "grammar"]
    json_schema: JsonSchemaFormat | None = None
    regex: str | None = None
    choice: Texts | None = None
    grammar: str | None = None


class ChatRequest(Common):
    """POST /v1/chat/completions. An empty model is the first one, as with llama.cpp.

    enable_thinking, reasoning_effort: switch the reasoning on or off ("none" is off, every other
        effort is on). chat_template_kwargs: further variables of the chat template. documents:
        texts for templates that read them. sanitize_control_tokens: false reads control tokens
        in messages, as other servers do; unless given they stay text.
    """

    _within_context: bool = PrivateAttr(default=False)

    model: str = ""
    messages: list[JsonObject] = Field(max_length=MAX_MESSAGES)
    documents: Objects | None = None
    chat_template_kwargs: JsonObject | None = None
    enable_thinking: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    sanitize_control_tokens: bool = True
    add_special_tokens: Literal[False] | None = None
    max_completion_tokens: int | None = Field(default=None, ge=1)
    tools: Tools | None = None
    tool_choice: Literal["none", "auto", "required"] | JsonObject | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)

    @property
    def within_context(self) -> bool:
        """True where a limit of tokens beyond the context is one to its end."""
        return self._within_context

    @within_context.setter
    def within_context(self, value: bool) -> None:
        self._within_context = value

    @property
    def top_logprobs_count(self) -> int | None:
        """Number of likeliest tokens reported in each place; None for no log-probabilities.

        Raises:
            RequestError: likeliest tokens are asked for, and no log-probabilities.
        """
        if self.top_logprobs is not None and not self.logprobs:
            raise RequestError("top_logprobs needs logprobs: true beside it")
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def ignored(self) -> list[str]:
        idle = self.parallel_tool_calls is not None and not self.tools
        return super().ignored + ["parallel_tool_calls"] * idle


class TokenizeRequest(Body):
    """POST /tokenize: a `text`, or its `content` as llama.cpp's clients call it.

    model: the first one unless given. add_special: put special tokens around it. with_pieces: tell
        the text of each token beside it. parse_special: ignored.
    """

    model_config = ConfigDict(extra="forbid")
    model: str | None = None
    text: str | None = None
    content: str | None = None
    add_special: bool = False
    with_pieces: bool = False
    parse_special: bool = True

    @property
    def given(self) -> str:
        """The text.

        Raises:
            RequestError: there is none, there are two, or it is too long.
        """
        if (self.text is None) == (self.content is None):
            raise RequestError("give the text to tokenize in text (or in content, not in both)")
        text = self.text if self.text is not None else self.content or ""
        if len(text.encode(errors="replace")) > MAX_TOKENIZED:
            raise RequestError(f"the text has more than {MAX_TOKENIZED} bytes: send it in parts")
        return text


class ErrorDetail(BaseModel):
    """One error: message for a person, type and code for a program, param for the invalid field."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    """An error as OpenAI's clients read it."""

    error: ErrorDetail
