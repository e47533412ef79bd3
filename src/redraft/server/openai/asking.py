"""Asking: a request of OpenAI's form on its way through the engine, for every dialect."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial

from fastapi import Request

from redraft.engine.request import Request as TextRequest
from redraft.events import Event, Finished, Statistics
from redraft.server.openai.response import OpenAIResponse, raised
from redraft.server.openai.schemas import ChatRequest, Common
from redraft.server.openai.translate import Translation, translate_chat
from redraft.server.runtime.preparing import time_left
from redraft.server.runtime.registry import HostedModel
from redraft.server.runtime.sse import while_connected
from redraft.text.image_parts import first_image


async def prepared(
    hosted: HostedModel,
    body: Common,
    request: Request,
    prepare: Callable[[], Translation],
    *,
    constrained: bool = False,
    pictures: bool = False,
) -> Translation:
    """Return the translation of a request; the time that it takes is the request's.

    Args:
        constrained, pictures: see `Preparing.run`.
    """
    began = time.monotonic()
    preparing = hosted.preparing.run(
        prepare, body.timeout, constrained=constrained, pictures=pictures
    )
    found = await while_connected(request, preparing)
    body.timeout = time_left(body.timeout, began)
    return found


async def chat_answer(hosted: HostedModel, body: ChatRequest, request: Request) -> OpenAIResponse:
    """Return the answer to a chat, of which nothing is written yet.

    Raises:
        RequestError, ConfigError: the request is invalid; the message says why.
    """
    prepare = partial(translate_chat, hosted.model, body, hosted.tokens_left, hosted.pixels)
    constrained = bool(body.response_format or body.tools)
    pictures = first_image(body.messages) is not None
    translation = await prepared(
        hosted, body, request, prepare, constrained=constrained, pictures=pictures
    )
    return OpenAIResponse("chat.completion", body.model, hosted.model.tokenizer, translation)


async def events_of(
    hosted: HostedModel, answer: OpenAIResponse, body: Common, *, drafts: bool
) -> AsyncGenerator[tuple[int, Event], None]:
    """Yield events with the index of their choice.

    Before a choice ends, its log-probabilities are there, where they are requested.
    """
    translation = answer.translation
    requests, top = translation.requests, translation.top_logprobs_count
    began = time.monotonic()
    if not translation.written:
        scored = requests if top is not None else []
        found = await hosted.score_prompts(scored, top or 0, body.timeout)
        answer.likelihoods.update(enumerate(found))
        for index, one in enumerate(requests):
            yield index, _unwritten(index, one)
        return
    if top is not None:
        hosted.check_scoring(requests[0])  # before anything is written
    writing = hosted.write(requests, body.timeout, drafts=drafts, deadline=body.deadline)
    async with aclosing(writing) as events:
        async for index, event in events:
            ended = raised(event)
            if isinstance(ended, Finished) and top is not None:
                left = time_left(body.timeout, began)
                likely = await hosted.score(
                    requests[index], ended.tokens, top, left, echo=bool(translation.echo)
                )
                answer.likelihoods[index] = likely
            yield index, ended


def _unwritten(index: int, request: TextRequest) -> Finished:
    """Return the end of a text of no tokens."""
    statistics = Statistics(
        prompt_tokens=len(request.prompt),
        new_tokens=0,
        steps_per_canvas=(),
        forwards=0,
        encoder_passes=0,
        tokens_per_forward=0.0,
        tokens_per_second=0.0,
        time_to_first_draft=0.0,
        time_to_first_commit=0.0,
        seconds=0.0,
    )
    return Finished(
        request=index,
        reason="length",
        seed=request.seed,
        tokens=(),
        text="",
        statistics=statistics,
    )
