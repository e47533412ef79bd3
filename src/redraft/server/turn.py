"""Turn: one answer to a chat in no dialect's form, piece by piece.

A dialect translates its request into OpenAI's (`chat_request`), and writes down the pieces of the
answer in its own words, whole or as they come.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from redraft.errors import RequestError
from redraft.server.errors import validation_message
from redraft.server.json_object import JsonObject
from redraft.server.openai.asking import chat_answer, events_of
from redraft.server.openai.response import OpenAIResponse
from redraft.server.openai.schemas import Bounded, ChatRequest, Common
from redraft.server.runtime.preparing import time_left
from redraft.server.runtime.registry import HostedModel
from redraft.server.runtime.sse import while_connected

Form = TypeVar("Form", bound=BaseModel)


@dataclass(frozen=True)
class Ended:
    """The end of an answer.

    Attributes:
        reason: stop, length or tool_calls. stop_string: the one that ended it, if one did.
        usage: as in OpenAI's chat. logprobs: of the content, if requested. unreadable: calls that
            cannot be read, with `text` and `error`. settled: False for a best draft.
    """

    reason: str
    stop_string: str | None
    usage: JsonObject
    logprobs: list[JsonObject] | None = None
    unreadable: list[JsonObject] = field(default_factory=list)
    settled: bool = True

    @property
    def mark(self) -> JsonObject:
        """The mark of an answer that its time bound ended; nothing for others."""
        return {} if self.settled else {"settled": False}


@dataclass(frozen=True)
class AnswerPiece:
    """A piece of an answer: reasoning, content, a call, a draft, or the end.

    A piece of nothing is the first of every answer: the request can run.
    """

    content: str = ""
    reasoning: str = ""
    call: JsonObject | None = None  # OpenAI's: id, function with name and arguments
    draft: JsonObject | None = None
    ended: Ended | None = None


@dataclass(frozen=True)
class Whole:
    """A whole answer."""

    content: str
    reasoning: str
    calls: list[JsonObject]
    ended: Ended


def chat_request(
    fields: Mapping[str, Any],
    names: Mapping[str, str] | None = None,
    *,
    within_context: bool = False,
) -> ChatRequest:
    """Return a chat request of these fields.

    Args:
        names: the dialect's names of OpenAI's fields, where they differ, for errors.
        within_context: a limit of tokens beyond the context is one to its end, as the dialect's
            clients expect.

    Raises:
        RequestError: a field is invalid.
    """
    body = translated(ChatRequest, fields, names)
    body.within_context = within_context
    return body


def translated(
    form: type[Form], fields: Mapping[str, Any], names: Mapping[str, str] | None = None
) -> Form:
    """Return a request of another form; arguments and errors as for `chat_request`."""
    try:
        return form.model_validate(dict(fields))
    except ValidationError as error:
        message, where = validation_message(error)
        first, *rest = where.split(".", 1)
        named = ".".join([(names or {}).get(first, first), *rest])
        raise RequestError(named + message.removeprefix(where)) from None


async def chat_of(
    hosted: HostedModel, given: Bounded, make: Callable[[], ChatRequest], request: Request
) -> ChatRequest:
    """Return the chat that a request of another dialect is; it is made in a thread, for a request
    may have many parts.

    Args:
        given: the request. make: makes the chat; its errors are raised.
    """
    began = time.monotonic()
    making = hosted.preparing.run(make, given.timeout, constrained=False)
    chat = await while_connected(request, making)
    chat.timeout = time_left(chat.timeout, began)
    return chat.arrived_with(given)


class ChatTurn:
    """One answer to a chat request with one choice.

    Attributes:
        prompt_tokens: length of the prompt.
    """

    def __init__(self, hosted: HostedModel, body: Common, answer: OpenAIResponse) -> None:
        self._hosted, self._body, self._answer = hosted, body, answer
        self.prompt_tokens = len(answer.translation.requests[0].prompt)

    @classmethod
    async def prepared(cls, hosted: HostedModel, body: ChatRequest, request: Request) -> ChatTurn:
        """Return a turn of which nothing is written yet.

        Raises:
            RequestError, ConfigError: the request is invalid; the message says why.
        """
        return cls(hosted, body, await chat_answer(hosted, body, request))

    @classmethod
    async def translated(
        cls, hosted: HostedModel, given: Bounded, make: Callable[[], ChatRequest], request: Request
    ) -> ChatTurn:
        """Return a turn of a request of another dialect; errors as above."""
        return await cls.prepared(hosted, await chat_of(hosted, given, make, request), request)

    async def pieces(self, *, drafts: bool = False) -> AsyncGenerator[AnswerPiece, None]:
        """Yield the pieces of the answer; the last one has `ended`."""
        events = events_of(self._hosted, self._answer, self._body, drafts=drafts)
        async with aclosing(self._answer.chunks(events, usage=True, drafts=drafts)) as chunks:
            end: JsonObject = {}
            async for chunk in chunks:
                if "draft" in chunk:
                    yield AnswerPiece(draft=chunk["draft"])
                for choice in chunk["choices"]:
                    for piece in _pieces(choice["delta"]):
                        yield piece
                    if choice["finish_reason"] is not None:
                        end = choice
                if "usage" in chunk:
                    yield AnswerPiece(ended=self._ended(end, chunk["usage"]))

    async def whole(self) -> Whole:
        """Return the whole answer."""
        content, reasoning, calls = "", "", []
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                content += piece.content
                reasoning += piece.reasoning
                calls += [] if piece.call is None else [piece.call]
                ended = piece.ended
        assert ended is not None
        return Whole(content, reasoning, calls, ended)

    def _ended(self, end: JsonObject, usage: JsonObject) -> Ended:
        logprobs = end["logprobs"]
        return Ended(
            end["finish_reason"],
            self._answer.stop_string(0),
            usage,
            None if logprobs is None else logprobs["content"],
            end["delta"].get("invalid_tool_calls", []),
            end.get("settled", True),
        )


def _pieces(delta: JsonObject) -> list[AnswerPiece]:
    """Return the pieces of a delta of OpenAI's; one of nothing for the first."""
    found: list[AnswerPiece] = []
    if "reasoning_content" in delta:
        found.append(AnswerPiece(reasoning=delta["reasoning_content"]))
    if "content" in delta:
        found.append(AnswerPiece(content=delta["content"]))
    return found + [AnswerPiece(call=call) for call in delta.get("tool_calls", [])]
