"""Jobs: from a request on the wire to what the engine is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redraft.api import Model
from redraft.engine import Request
from redraft.engine.request import seeded
from redraft.errors import RequestError
from redraft.grammar import Choice, Constraint, Grammar, JsonSchema, Regex, ToolCalls
from redraft.server.openai.schemas import ChatRequest, Common, CompletionRequest, ResponseFormat


@dataclass(frozen=True)
class Job:
    """requests: one a choice. constrained: whether an answer is complete wherever it ends. calls:
    whether it may hold tool calls. likeliest: how many likeliest tokens are told in the place of
    each; None for no likelihoods."""

    requests: list[Request]
    constrained: bool = False
    calls: bool = False
    likeliest: int | None = None


def chat_job(model: Model, asked: ChatRequest) -> Job:
    """What `/v1/chat/completions` asks.

    Raises:
        RequestError, ConfigError: what is wrong with it.
    """
    constraint = _tool_constraint(asked)
    if constraint is None and asked.response_format is not None:
        constraint = response_constraint(asked.response_format)
    offered = asked.tools if asked.tools and asked.tool_choice != "none" else None
    messages = [_plain(message) for message in asked.messages]
    prompt = model.chat_prompt(messages, **({"tools": offered} if offered else {}))
    requests = _requests(model, asked, prompt, constraint)
    return Job(requests, constraint is not None, bool(offered), _likeliest(model, asked.likeliest))


def completion_job(model: Model, asked: CompletionRequest) -> Job:
    """What `/v1/completions` asks without a suffix; errors as above."""
    if model.tokenizer is None and isinstance(asked.prompt, str):
        raise RequestError("this checkpoint has no tokenizer: give the prompt as token ids")
    prompt = asked.prompt
    if isinstance(prompt, str):
        assert model.tokenizer is not None
        prompt = model.tokenizer.encode(prompt)
    return Job(_requests(model, asked, prompt, None), likeliest=_likeliest(model, asked.likeliest))


def _likeliest(model: Model, most: int | None) -> int | None:
    if most is not None and model.tokenizer is None:
        raise RequestError(
            "log-probabilities are told by the texts of tokens, and this checkpoint has no tokenizer"
        )
    return most


def response_constraint(asked: ResponseFormat) -> Constraint | None:
    """The constraint of a response format.

    Raises:
        RequestError: it lacks what its type needs. ConstraintError: that cannot be used.
    """
    if asked.type == "text":
        return None
    if asked.type == "json_object":
        return JsonSchema({"type": "object"})
    given = getattr(asked, asked.type)
    if given is None:
        raise RequestError(f"response_format of type {asked.type!r} needs the field {asked.type!r}")
    match asked.type:
        case "json_schema":
            return JsonSchema(given.schema_)
        case "regex":
            return Regex(given)
        case "choice":
            return Choice(given)
    return Grammar(given)


def _requests(
    model: Model, asked: Common, prompt: list[int], constraint: Constraint | None
) -> list[Request]:
    config = seeded(model.generation_config.with_options(asked.settings()))
    dfa = model.processor.compile(constraint, config)
    return [
        Request.checked(prompt, config, model.config, stream=number, dfa=dfa, method=asked.method)
        for number in range(asked.n)
    ]


def _tool_constraint(asked: ChatRequest) -> Constraint | None:
    """Calls where one is demanded; a model that may call is free to."""
    choice = asked.tool_choice
    if choice in (None, "none", "auto"):
        return None
    if not asked.tools:
        raise RequestError("tool_choice demands a call, and there are no tools")
    if asked.response_format is not None and asked.response_format.type != "text":
        raise RequestError(
            "a demanded call and a response_format do not go together: leave one out"
        )
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    functions = [(tool, tool.get("function", tool)) for tool in asked.tools]
    named = [tool for tool, one in functions if isinstance(one, dict) and one.get("name") == name]
    if choice == "required":
        return ToolCalls(asked.tools)
    if not named:
        raise RequestError(f"tool_choice names {name!r}, which is none of the tools")
    return ToolCalls(named)


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message whose content is one text: parts of text are put together."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    texts = []
    for part in content:
        if (
            not isinstance(part, dict)
            or part.get("type") != "text"
            or not isinstance(part.get("text"), str)
        ):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise RequestError(f"a part of type {kind!r} cannot be read: only text can")
        texts.append(part["text"])
    return message | {"content": "".join(texts)}
