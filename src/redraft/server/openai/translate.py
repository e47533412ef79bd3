"""Translate OpenAI's requests into requests of the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from redraft.api import Model
from redraft.diffusion import check_settings_are_read
from redraft.engine import Request
from redraft.engine.images import EncodedPrompt
from redraft.engine.request import seeded
from redraft.errors import RequestError
from redraft.grammar import Constraint
from redraft.server.openai.constraints import ToolChoice, chat_constraint
from redraft.server.openai.messages import openai_messages, template_variables
from redraft.server.openai.schemas import ChatRequest, Common, CompletionRequest
from redraft.server.runtime.pixels import PixelBudget
from redraft.text.image_parts import first_image

TokensLeft = Callable[[int], int]


@dataclass(frozen=True)
class Translation:
    """Requests of the engine, one a choice.

    constrained: a finished answer is complete, wherever it ends. calls: it may hold tool calls.
        top_logprobs_count: likeliest tokens reported in each place; None for no
        log-probabilities.
    """

    requests: list[Request]
    constrained: bool = False
    calls: bool = False
    top_logprobs_count: int | None = None


def translate_chat(
    model: Model, body: ChatRequest, tokens_left: TokensLeft, pixels: PixelBudget | None = None
) -> Translation:
    """Translate `/v1/chat/completions`. Images are decoded here; no file and no address is read.

    Args:
        pixels: takes the memory of decoded images.
        tokens_left: from the length of a prompt to the tokens that an answer without max_tokens
            may have.

    Raises:
        RequestError, ConfigError: the request is invalid; the message says why. BusyError: too
            many images wait for their turn.
    """
    likeliest = _likeliest(model, body.top_logprobs_count)
    choice = ToolChoice.of(body)
    messages = openai_messages(body.messages)
    options: dict[str, Any] = {
        "tools": choice.offered or None,
        "documents": body.documents,
        "chat_template_kwargs": template_variables(body),
        "sanitize_control_tokens": body.sanitize_control_tokens,
        "files": False,
    }
    if first_image(messages) is None:
        encoded = EncodedPrompt(model.chat_prompt(messages, **options))
    else:
        encoded = model.processor.chat(messages, **options)
    if pixels is not None:
        for placed in encoded.images:
            pixels.take(placed.image)
    constraint = chat_constraint(body, choice, encoded.tokens, model.tokenizer)
    settings = {"max_new_tokens": tokens_left(len(encoded.tokens))} | body.settings()
    requests = _requests(model, body, encoded, constraint, settings)
    constrained = constraint is not None and not constraint.can_be_cut
    return Translation(requests, constrained, bool(choice.offered), likeliest)


def translate_completion(model: Model, body: CompletionRequest) -> Translation:
    """Translate `/v1/completions` without a suffix; errors as above."""
    if model.tokenizer is None and isinstance(body.prompt, str):
        raise RequestError("this checkpoint has no tokenizer: give the prompt as token ids")
    prompt = body.prompt
    if isinstance(prompt, str):
        assert model.tokenizer is not None
        prompt = model.tokenizer.encode(prompt, bos=body.add_special_tokens)
    return Translation(
        _requests(model, body, EncodedPrompt(prompt), None, body.settings()),
        top_logprobs_count=_likeliest(model, body.top_logprobs_count),
    )


def _likeliest(model: Model, limit: int | None) -> int | None:
    if limit is not None and model.tokenizer is None:
        raise RequestError("log-probabilities need a tokenizer, and this checkpoint has none")
    return limit


def _requests(
    model: Model,
    body: Common,
    prompt: EncodedPrompt,
    constraint: Constraint | None,
    settings: dict[str, Any],
) -> list[Request]:
    constrained = constraint is not None
    config = seeded(model.processor.text_settings(settings, constrained=constrained))
    dfa = model.processor.compile(constraint, config)
    requests = [
        Request.checked(
            prompt.tokens,
            config,
            model.config,
            images=prompt.images,
            stream=number,
            dfa=dfa,
            can_be_cut=constraint is not None and constraint.can_be_cut,
            method=body.method,
            sampler=body.sampler,
            stopping=body.stopping,
            adapter=model.adapter,
        )
        for number in range(body.n)
    ]
    check_settings_are_read(settings, requests[0].sampler, requests[0].stopping)
    return requests
