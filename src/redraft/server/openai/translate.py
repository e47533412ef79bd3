"""Translate OpenAI's requests into requests of the engine."""

from __future__ import annotations

from dataclasses import dataclass

from redraft.api import Model
from redraft.engine import Request
from redraft.engine.request import seeded
from redraft.errors import RequestError
from redraft.grammar import Choice, Constraint, Grammar, JsonSchema, Regex, ToolCalls
from redraft.server.openai.messages import openai_messages, template_variables
from redraft.server.openai.schemas import ChatRequest, Common, CompletionRequest, ResponseFormat


@dataclass(frozen=True)
class Translation:
    """Requests of the engine, one a choice.

    constrained: an answer is complete wherever it ends. calls: it may hold tool calls.
        top_logprobs_count: likeliest tokens reported in each place; None for no
        log-probabilities.
    """

    requests: list[Request]
    constrained: bool = False
    calls: bool = False
    top_logprobs_count: int | None = None


def translate_chat(model: Model, body: ChatRequest) -> Translation:
    """Translate `/v1/chat/completions`.

    Raises:
        RequestError, ConfigError: the request is invalid; the message says why.
    """
    constraint = _tool_constraint(body)
    if constraint is None and body.response_format is not None:
        constraint = response_constraint(body.response_format)
    offered = body.tools if body.tools and body.tool_choice != "none" else None
    prompt = model.chat_prompt(
        openai_messages(body.messages),
        tools=offered or None,
        documents=body.documents,
        chat_template_kwargs=template_variables(body),
        sanitize_control_tokens=body.sanitize_control_tokens,
    )
    requests = _requests(model, body, prompt, constraint)
    return Translation(
        requests, constraint is not None, bool(offered), _likeliest(model, body.top_logprobs_count)
    )


def translate_completion(model: Model, body: CompletionRequest) -> Translation:
    """Translate `/v1/completions` without a suffix; errors as above."""
    if model.tokenizer is None and isinstance(body.prompt, str):
        raise RequestError("this checkpoint has no tokenizer: give the prompt as token ids")
    prompt = body.prompt
    if isinstance(prompt, str):
        assert model.tokenizer is not None
        prompt = model.tokenizer.encode(prompt, bos=body.add_special_tokens)
    return Translation(
        _requests(model, body, prompt, None),
        top_logprobs_count=_likeliest(model, body.top_logprobs_count),
    )


def _likeliest(model: Model, limit: int | None) -> int | None:
    if limit is not None and model.tokenizer is None:
        raise RequestError("log-probabilities need a tokenizer, and this checkpoint has none")
    return limit


def response_constraint(body: ResponseFormat) -> Constraint | None:
    """Return the constraint of a response format.

    Raises:
        RequestError: a field is missing. ConstraintError: the constraint cannot be used.
    """
    if body.type == "text":
        return None
    if body.type == "json_object":
        return JsonSchema({"type": "object"})
    given = getattr(body, body.type)
    if given is None:
        raise RequestError(f"response_format of type {body.type!r} needs the field {body.type!r}")
    match body.type:
        case "json_schema":
            return JsonSchema(given.schema_)
        case "regex":
            return Regex(given)
        case "choice":
            return Choice(given)
    return Grammar(given)


def _requests(
    model: Model, body: Common, prompt: list[int], constraint: Constraint | None
) -> list[Request]:
    config = seeded(model.generation_config.with_options(body.settings()))
    dfa = model.processor.compile(constraint, config)
    return [
        Request.checked(
            prompt,
            config,
            model.config,
            stream=number,
            dfa=dfa,
            method=body.method,
            sampler=body.sampler,
            stopping=body.stopping,
        )
        for number in range(body.n)
    ]


def _tool_constraint(body: ChatRequest) -> Constraint | None:
    """Return the constraint that demands a tool call; None where the model may call or not."""
    choice = body.tool_choice
    if choice in (None, "none", "auto"):
        return None
    if not body.tools:
        raise RequestError("tool_choice demands a call, and there are no tools")
    if body.response_format is not None and body.response_format.type != "text":
        raise RequestError(
            "a demanded call and a response_format do not go together: leave one out"
        )
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    functions = [(tool, tool.get("function", tool)) for tool in body.tools]
    named = [tool for tool, one in functions if isinstance(one, dict) and one.get("name") == name]
    if choice == "required":
        return ToolCalls(body.tools)
    if not named:
        raise RequestError(f"tool_choice names {name!r}, which is none of the tools")
    return ToolCalls(named)
