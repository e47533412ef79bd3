"""Translate OpenAI's requests into requests of the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from redraft.api import Model
from redraft.diffusion import check_settings_are_read
from redraft.engine import Request
from redraft.engine.images import EncodedPrompt
from redraft.engine.request import seeded
from redraft.errors import RequestError
from redraft.grammar import Constraint
from redraft.server.openai.completion_schema import CompletionRequest
from redraft.server.openai.constraints import ToolChoice, chat_constraint
from redraft.server.openai.messages import openai_messages, template_variables
from redraft.server.openai.schemas import ChatRequest, Common
from redraft.server.runtime.pixels import PixelBudget
from redraft.text.image_parts import first_image

TokensLeft = Callable[[int], int]


@dataclass(frozen=True)
class Translation:
    """Requests of the engine, one a choice.

    constrained: a finished answer is complete, wherever it ends. calls: it may hold tool calls.
        top_logprobs_count: likeliest tokens reported in each place; None for no
        log-probabilities. count: requests of each prompt. kept: choices of each prompt, the
        likeliest of its requests; None for all of them. echo: the text of each prompt, which its
        choices begin with. written: False where the prompts are scored only. reports_logprobs: the
        answer has the log-probabilities that are there.
    """

    requests: list[Request]
    constrained: bool = False
    calls: bool = False
    top_logprobs_count: int | None = None
    count: int = 1
    kept: int | None = None
    echo: tuple[str, ...] = ()
    written: bool = True
    reports_logprobs: bool = True


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
    encoded = encoded_chat(model, body)
    if pixels is not None:
        for placed in encoded.images:
            pixels.take(placed.image)
    length = len(encoded.tokens)
    constraint = chat_constraint(body, choice, encoded.tokens, model.tokenizer)
    settings = {"max_new_tokens": tokens_left(length)} | body.settings()
    if body.within_context and (left := model.config.max_position_embeddings - length) > 0:
        settings["max_new_tokens"] = min(left, settings["max_new_tokens"])
    requests = _requests(model, body, encoded, constraint, settings, body.n)
    constrained = constraint is not None and not constraint.can_be_cut
    return Translation(requests, constrained, bool(choice.offered), likeliest, count=body.n)


def encoded_chat(model: Model, body: ChatRequest) -> EncodedPrompt:
    """Return a chat's prompt: token ids and images; errors as above."""
    messages = openai_messages(body.messages)
    options: dict[str, Any] = {
        "tools": ToolChoice.of(body).offered or None,
        "documents": body.documents,
        "chat_template_kwargs": template_variables(body),
        "sanitize_control_tokens": body.sanitize_control_tokens,
        "files": False,
    }
    if first_image(messages) is None:
        return EncodedPrompt(model.chat_prompt(messages, **options))
    return model.processor.chat(messages, **options)


def translate_completion(
    model: Model,
    body: CompletionRequest,
    constraint: Constraint | None = None,
    tokens_left: TokensLeft | None = None,
) -> Translation:
    """Translate `/v1/completions` without a suffix; errors as above.

    Args:
        constraint: what each text must be.
        tokens_left: as for a chat; a limit of tokens beyond the context is then one to its end.
            None: without a limit the checkpoint's own holds.
    """
    prompts, tokenizer = body.prompts(), model.tokenizer
    if tokenizer is None and (body.echo or isinstance(prompts[0], str)):
        raise RequestError(
            "this checkpoint has no tokenizer: give the prompt as token ids, without echo"
        )
    body.check_count()
    likeliest, settings = _likeliest(model, body.top_logprobs_count), body.settings()
    reported = likeliest is not None
    written = settings.get("max_new_tokens") != 0
    if not written:
        settings["max_new_tokens"] = 1  # nothing is written: the prompt must fit all the same
    if body.best_of is not None and body.best_of > body.n:
        likeliest = _likeliest(model, likeliest or 0)
    requests: list[Request] = []
    echo: list[str] = []
    # Prompts of one request have one seed, so that each gets what it would get alone.
    whole = seeded(model.processor.text_settings(settings, constrained=False))
    settings["seed"] = whole.seed
    if "logit_bias" in settings:
        settings["logit_bias"] = whole.logit_bias  # checked once for all prompts
    for prompt in prompts:
        tokens = prompt
        if isinstance(tokens, str):
            assert tokenizer is not None
            tokens = tokenizer.encode(tokens, bos=body.add_special_tokens)
        limits: dict[str, Any] = {}
        if tokens_left is not None:
            left = tokens_left(len(tokens))
            limits = {"max_new_tokens": min(left, settings.get("max_new_tokens", left))}
        count = body.best_of or body.n
        requests += _requests(
            model, body, EncodedPrompt(tokens), constraint, settings | limits, count
        )
        if body.echo:
            assert tokenizer is not None
            echo.append(prompt if isinstance(prompt, str) else tokenizer.decode(prompt))
    return Translation(
        requests,
        constraint is not None and not constraint.can_be_cut,
        top_logprobs_count=likeliest,
        count=body.best_of or body.n,
        kept=body.n,
        echo=tuple(echo),
        written=written,
        reports_logprobs=reported,
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
    count: int,
) -> list[Request]:
    constrained = constraint is not None
    config = seeded(model.processor.text_settings(settings, constrained=constrained))
    dfa = model.processor.compile(constraint, config)
    first = Request.checked(
        prompt.tokens,
        config,
        model.config,
        images=prompt.images,
        dfa=dfa,
        can_be_cut=constraint is not None and constraint.can_be_cut,
        method=body.method,
        sampler=body.sampler,
        stopping=body.stopping,
        adapter=model.adapter,
    )
    check_settings_are_read(settings, first.sampler, first.stopping)
    # The others differ in their noise alone: they are not checked again.
    return [first, *(replace(first, stream=number) for number in range(1, count))]
