"""Schemas of llama.cpp's requests."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from redraft.errors import RequestError
from redraft.grammar import Constraint, JsonSchema
from redraft.server.foreign import ForeignBody
from redraft.server.idle_fields import LLAMA_IDLE
from redraft.server.json_object import JsonObject
from redraft.server.openai.schemas import (
    MAX_BIASES,
    MAX_LISTED,
    MAX_MILLISECONDS,
    Body,
    Bounded,
    Texts,
    TokenIds,
    checked_stops,
)

MAX_FIELDS = 64  # of `response_fields`
MAX_DIGITS = 18  # of a token id


class Extra(Body):
    """A piece of another file, for context."""

    model_config = ConfigDict(extra="allow")
    text: str = ""
    filename: str | None = None


class Sampling(ForeignBody, Bounded):
    """Fields of all requests. t_max_predict_ms: llama.cpp's name of timeout_ms; 0 is no bound.
    Other fields must be generation settings."""

    model: str | None = None
    n_predict: int | None = Field(default=None, ge=-2)
    max_tokens: int | None = Field(default=None, ge=-2)
    temperature: float | None = Field(default=None, le=10)
    top_k: int | None = None
    top_p: float | None = Field(default=None, ge=0)
    min_p: float | None = Field(default=None, ge=0)
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: str | Texts | None = None
    logit_bias: list[list[Any]] | dict[str, float] | None = Field(
        default=None, max_length=MAX_BIASES
    )
    json_schema: JsonObject | bool | None = None
    grammar: str | None = None
    n_probs: int | None = Field(default=None, ge=0, le=20)
    response_fields: Texts | None = Field(default=None, max_length=MAX_FIELDS)
    t_max_predict_ms: int | None = Field(default=None, ge=0, le=MAX_MILLISECONDS)
    timeout: float | None = Field(default=None, gt=0)
    stream: bool = False

    @property
    def bound_ms(self) -> int | None:
        """The time bound in milliseconds: the shorter where both names are given; None for none."""
        return min((one for one in (self.timeout_ms, self.t_max_predict_ms) if one), default=None)

    @property
    def deadline(self) -> float | None:
        """As for other requests."""
        return None if self.bound_ms is None else self._arrived + self.bound_ms / 1000

    @property
    def limit(self) -> int | None:
        """The limit of new tokens; None where there is none (-1 and -2)."""
        given = self.n_predict if self.n_predict is not None else self.max_tokens
        return None if given is None or given < 0 else given

    @property
    def is_constrained(self) -> bool:
        """True where a constraint has to be made."""
        return self.json_schema is not None or bool(self.grammar)

    def constraint(self) -> Constraint | None:
        """Return what the text must be.

        Raises:
            RequestError: a grammar is given. ConstraintError: the schema cannot be used.
        """
        if self.grammar:
            raise RequestError(
                "grammar is not supported in llama.cpp's form: give json_schema, or a "
                "response_format of the type grammar to /v1/chat/completions"
            )
        return None if self.json_schema is None else JsonSchema(self.json_schema)

    def settings(self) -> JsonObject:
        """Return the generation options, without the limit of tokens.

        Raises:
            RequestError: a field is no option, or a value cannot be used.
        """
        extra = self.further_settings(LLAMA_IDLE)
        given = {
            "temperature": None if self.temperature is None else max(0.0, self.temperature),
            "top_k": None if self.top_k is None else max(0, self.top_k),
            "top_p": None if self.top_p is None else min(1.0, max(1e-6, self.top_p)),
            "min_p": None if self.min_p is None else min(1.0, self.min_p),
            "repetition_penalty": self.repeat_penalty,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "seed": None if self.seed is None or self.seed < 0 else self.seed,
            "stop": checked_stops(self.stop),
            "logit_bias": self._biases(),
        }
        named = {name: value for name, value in given.items() if value is not None}
        return extra | named

    def _biases(self) -> dict[int, float] | None:
        """Return `logit_bias` as a mapping from token ids.

        Raises:
            RequestError: it names texts, or something else.
        """
        if not self.logit_bias:
            return None
        pairs: Any = self.logit_bias
        pairs = pairs.items() if isinstance(pairs, dict) else pairs
        found: dict[int, float] = {}
        for pair in pairs:
            match tuple(pair):
                case (int(token), False):
                    found[token] = -1e9
                case (int() | str() as token, int() | float() as bias) if _is_id(token):
                    found[int(token)] = float(bias)
                case _:
                    raise RequestError(
                        f"logit_bias has {str(pair)[:80]!r}: pairs of a token id and a number can "
                        "be read"
                    )
        return found


class LlamaInfillRequest(Sampling):
    """POST /infill. prompt: what stands between input_prefix and the place, on the same line.
    input_extra: pieces of other files."""

    input_prefix: str = ""
    input_suffix: str = ""
    input_extra: list[Extra] = Field(default_factory=list, max_length=256)
    prompt: str = ""

    @property
    def prefix(self) -> str:
        """All that stands before the place: pieces of other files first."""
        extra = [f"# {one.filename}\n{one.text}\n" if one.filename else f"{one.text}\n"
                 for one in self.input_extra]  # fmt: skip
        return "".join((*extra, self.input_prefix, self.prompt))


class LlamaCompletionRequest(Sampling):
    """POST /completion: a text or token ids to continue, or a mix of both, or several prompts."""

    prompt: str | list[Any]


class FimRequest(Sampling):
    """POST /v1/fim/completions, in Mistral's form."""

    model: str
    prompt: str
    suffix: str | None = None
    min_tokens: int | None = None
    random_seed: int | None = None


class DetokenizeRequest(ForeignBody):
    """POST /detokenize."""

    model: str | None = None
    tokens: Annotated[TokenIds, Field(max_length=MAX_LISTED)]


class LlamaErrorDetail(BaseModel):
    """An error: the status, words for a person, and a word for a program."""

    code: int
    message: str
    type: str


class LlamaError(BaseModel):
    """An error as llama.cpp's clients read it."""

    error: LlamaErrorDetail


StopType = Literal["eos", "limit", "word"]


def _is_id(token: object) -> bool:
    """Return True for a token id, or its digits: of more than MAX_DIGITS no vocabulary has one."""
    if isinstance(token, str):
        return token.isascii() and token.isdigit() and len(token) <= MAX_DIGITS
    return type(token) is int
