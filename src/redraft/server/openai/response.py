"""Responses: events as OpenAI's objects, whole or in chunks."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any

from redraft.engine.scoring import TokenLikelihood
from redraft.events import Committed, Completed, Draft, EngineEvent, Event, Failed, Finished
from redraft.server.openai.logprobs import chat_logprobs, text_logprobs
from redraft.server.openai.stream import ChoiceStream
from redraft.server.openai.tool_calls import call_to_json, unreadable_to_json
from redraft.server.openai.translate import Translation
from redraft.server.runtime.worker import BusyError
from redraft.text import Answer, AnswerReader, Tokenizer

Events = AsyncGenerator[tuple[int, Event], None]


class OpenAIResponse:
    """One response: its id, its finished choices, and their log-probabilities if requested."""

    def __init__(
        self, kind: str, model: str, tokenizer: Tokenizer | None, translation: Translation
    ) -> None:
        """Begin a response; `kind` is chat.completion or text_completion."""
        self.kind, self.model, self.tokenizer, self.translation = (
            kind,
            model,
            tokenizer,
            translation,
        )
        self.id = ("chatcmpl-" if self.chat else "cmpl-") + secrets.token_hex(12)
        self.created = int(time.time())
        self.ended: dict[int, Finished] = {}
        self.likelihoods: dict[int, list[TokenLikelihood]] = {}

    @property
    def chat(self) -> bool:
        return self.kind == "chat.completion"

    async def collected(self, events: Events) -> dict[str, Any]:
        """Return all choices once they have finished."""
        async with aclosing(events):
            async for index, event in events:
                if isinstance(event, Finished):
                    self.ended[index] = event
        choices = [self._choice(index, finished) for index, finished in sorted(self.ended.items())]
        return self._object(self.kind, choices) | {"usage": self.usage()}

    async def chunks(
        self, events: Events, *, usage: bool, drafts: bool
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield chunks: a delta for each committed canvas, and one that closes each choice.

        The first chunk comes once the request has shown that it can run.
        """
        streams = [
            ChoiceStream(
                self.tokenizer,
                calls=self.translation.calls,
                prompt=one.prompt,
                stops=one.config.stop,
            )
            for one in self.translation.requests
        ]
        begun = False
        async with aclosing(events):
            async for index, event in events:
                if not begun and self.chat:
                    for choice in range(len(streams)):
                        yield self.chunk(
                            [self._delta(choice, {"role": "assistant", "content": ""})]
                        )
                begun = True
                match event:
                    case Draft() if drafts:
                        yield self.chunk([]) | {
                            "draft": {"index": index} | streams[index].draft(event)
                        }
                    case Committed():
                        for delta in streams[index].deltas(event):
                            if not self.chat and "content" not in delta:
                                continue
                            yield self.chunk(
                                [self._delta(index, delta if self.chat else delta["content"])]
                            )
                    case Finished():
                        self.ended[index] = event
                        for closing in self._closing(index, event, streams[index]):
                            yield self.chunk([closing])
        if usage:
            yield self.chunk([]) | {"usage": self.usage()}

    def usage(self) -> dict[str, Any]:
        """Return tokens and forward passes of all choices."""
        figures = [finished.statistics for _, finished in sorted(self.ended.items())]
        written, passes = (
            sum(one.new_tokens for one in figures),
            sum(one.forwards for one in figures),
        )
        prompt = figures[0].prompt_tokens if figures else 0
        return {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
            "prompt_tokens_details": {
                "cached_tokens": max((one.cached_tokens for one in figures), default=0)
            },
            "steps": [list(one.steps_per_canvas) for one in figures],
            "tokens_per_forward": written / max(passes, 1),
            "seconds": max((one.seconds for one in figures), default=0.0),
        }

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }

    def chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """Return one chunk of a stream."""
        return self._object("chat.completion.chunk" if self.chat else self.kind, choices)

    def _delta(self, index: int, delta: Any, reason: str | None = None) -> dict[str, Any]:
        return {
            "index": index,
            "delta" if self.chat else "text": delta,
            "finish_reason": reason,
            "logprobs": None,
        }

    def _closing(
        self, index: int, finished: Finished, stream: ChoiceStream
    ) -> Iterable[dict[str, Any]]:
        answer = self._answer(index, finished)
        reason, likely = (
            self._reason(finished, answer),
            {"logprobs": self._logprobs(index, finished)},
        )
        if not self.chat:
            rest = answer.content.removeprefix(stream.content)
            yield self._delta(index, rest, reason) | likely
            return
        for delta in stream.rest(answer):
            yield self._delta(index, delta)
        yield self._delta(index, unreadable_to_json(answer), reason) | likely

    def _choice(self, index: int, finished: Finished) -> dict[str, Any]:
        answer = self._answer(index, finished)
        closed = {
            "index": index,
            "finish_reason": self._reason(finished, answer),
            "logprobs": self._logprobs(index, finished),
        }
        if not self.chat:
            return closed | {"text": answer.content}
        message: dict[str, Any] = {
            "role": "assistant",
            "content": answer.content or (None if answer.calls else ""),
            "refusal": None,
        }
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if answer.calls:
            message["tool_calls"] = [call_to_json(call) for call in answer.calls]
        return closed | {"message": message | unreadable_to_json(answer)}

    def _answer(self, index: int, finished: Finished) -> Answer:
        """Return what a choice holds; without tools there are no calls in it."""
        if not self.translation.calls or self.tokenizer is None:
            return Answer(finished.text, finished.reasoning)
        return self._reader(index, finished).answer(last=True)

    def _reader(self, index: int, finished: Finished) -> AnswerReader:
        """Return a reader that has read a choice."""
        assert self.tokenizer is not None
        request = self.translation.requests[index]
        reader = AnswerReader(
            self.tokenizer,
            prompt=request.prompt,
            calls=self.translation.calls,
            stops=request.config.stop,
        )
        reader.add(finished.tokens)
        return reader

    def _reason(self, finished: Finished, answer: Answer) -> str:
        """Return why a choice ended."""
        if answer.calls:
            return "tool_calls"
        # Under a constraint a text that fills its room is as complete as one that ends.
        cut = finished.reason == "length" and not self.translation.constrained
        return "length" if cut else "stop"

    def _logprobs(self, index: int, finished: Finished) -> dict[str, Any] | None:
        if index not in self.likelihoods:
            return None
        assert self.tokenizer is not None
        places = self._reader(index, finished).content_places()
        found = [self.likelihoods[index][at] for at in places]
        return (chat_logprobs if self.chat else text_logprobs)(found, self.tokenizer)


def raised(event: EngineEvent) -> Event:
    """Return an event; raise the error of a request that failed."""
    if isinstance(event, Failed):
        raise event.error
    if isinstance(event, Finished) and event.reason == "cancelled":
        raise BusyError("the server is shutting down")
    assert not isinstance(event, Completed)
    return event
