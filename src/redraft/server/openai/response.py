"""Responses: events as OpenAI's objects, whole or in chunks."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from functools import partial
from math import inf
from statistics import fmean
from typing import Any

from redraft.engine.scoring import TokenLikelihood
from redraft.events import Committed, Completed, Draft, EngineEvent, Event, Failed, Finished
from redraft.server.json_object import JsonObject
from redraft.server.openai.logprobs import chat_logprobs, text_logprobs
from redraft.server.openai.stream import ChoiceStream
from redraft.server.openai.tool_calls import call_to_json, unreadable_to_json
from redraft.server.openai.translate import Translation
from redraft.server.runtime.pools import written
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

    async def collected(self, events: Events) -> JsonObject:
        """Return all choices once they have finished."""
        async with aclosing(events):
            async for index, event in events:
                if isinstance(event, Finished):
                    self.ended[index] = event
        return await written(self._whole)

    def _whole(self) -> JsonObject:
        """Return all choices, which have finished. Log-probabilities of many tokens take long."""
        choices = [
            self._choice(index, self.ended[index]) | {"index": number}
            for number, index in enumerate(self._kept())
        ]
        return self._object(self.kind, choices) | {"usage": self.usage()}

    def _kept(self) -> list[int]:
        """Return the indices of the choices that are answered with, prompt by prompt."""
        count, kept = self.translation.count, self.translation.kept
        indices = sorted(self.ended)
        if kept is None or kept >= count:
            return indices
        found: list[int] = []
        for first in range(0, len(indices), count):
            group = indices[first : first + count]
            found += sorted(group, key=self._mean_logprob, reverse=True)[:kept]
        return found

    def _mean_logprob(self, index: int) -> float:
        """Return the log-probability of a text by token; an empty text is the least likely."""
        found, count = self.likelihoods[index], len(self.ended[index].tokens)
        return fmean(one.log_probability for one in found[-count:]) if count else -inf

    async def chunks(
        self, events: Events, *, usage: bool, drafts: bool
    ) -> AsyncGenerator[JsonObject, None]:
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
                if not begun:
                    for chunk in self._opening():
                        yield chunk
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
                        made = partial(self._closing, index, event, streams[index])
                        for closing in await written(made):
                            yield self.chunk([closing])
        if usage:
            yield self.chunk([]) | {"usage": self.usage()}

    def _opening(self) -> Iterable[JsonObject]:
        """Yield what each choice begins with: its role, or the prompt that it echoes."""
        for index in range(len(self.translation.requests)):
            if self.chat:
                yield self.chunk([self._delta(index, {"role": "assistant", "content": ""})])
            elif self.translation.echo:
                yield self.chunk([self._delta(index, self._echo(index))])

    def _echo(self, index: int) -> str:
        echo = self.translation.echo
        return echo[index // self.translation.count] if echo else ""

    def stop_string(self, index: int) -> str | None:
        """Return the stop string that ended a choice; None where it ended by itself."""
        finished = self.ended[index]
        if finished.reason != "stop_string" or self.tokenizer is None:
            return None
        text = self.tokenizer.decode(finished.tokens)
        stops = self.translation.requests[index].config.stop
        found = [(at, stop) for stop in stops if (at := text.find(stop)) >= 0]
        return min(found)[1] if found else None

    def usage(self) -> JsonObject:
        """Return tokens and forward passes of all choices; each prompt counts once."""
        figures = [finished.statistics for _, finished in sorted(self.ended.items())]
        written, passes = (
            sum(one.new_tokens for one in figures),
            sum(one.forwards for one in figures),
        )
        prompt = sum(one.prompt_tokens for one in figures[:: self.translation.count])
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

    def _object(self, kind: str, choices: list[JsonObject]) -> JsonObject:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        """Return one chunk of a stream."""
        return self._object("chat.completion.chunk" if self.chat else self.kind, choices)

    def _delta(self, index: int, delta: Any, reason: str | None = None) -> JsonObject:
        return {
            "index": index,
            "delta" if self.chat else "text": delta,
            "finish_reason": reason,
            "logprobs": None,
        }

    def _closing(self, index: int, finished: Finished, stream: ChoiceStream) -> list[JsonObject]:
        """Return the deltas that end a choice."""
        answer = self._answer(index, finished)
        reason, likely = (
            self._reason(finished, answer),
            {"logprobs": self._logprobs(index, finished)},
        )
        if not self.chat:
            rest = answer.content.removeprefix(stream.content)
            return [self._delta(index, rest, reason) | likely | unsettled(finished)]
        deltas = [self._delta(index, delta) for delta in stream.rest(answer)]
        closing = self._delta(index, unreadable_to_json(answer), reason)
        return [*deltas, closing | likely | unsettled(finished)]

    def _choice(self, index: int, finished: Finished) -> JsonObject:
        answer = self._answer(index, finished)
        closed = {
            "index": index,
            "finish_reason": self._reason(finished, answer),
            "logprobs": self._logprobs(index, finished),
        } | unsettled(finished)
        if not self.chat:
            return closed | {"text": self._echo(index) + answer.content}
        message: JsonObject = {
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
        if finished.reason == "time":
            return "length"
        if answer.calls:
            return "tool_calls"
        # Under a constraint a text that fills its room is as complete as one that ends.
        cut = finished.reason == "length" and not self.translation.constrained
        return "length" if cut else "stop"

    def _logprobs(self, index: int, finished: Finished) -> JsonObject | None:
        if index not in self.likelihoods or not self.translation.reports_logprobs:
            return None
        assert self.tokenizer is not None
        found = self.likelihoods[index]
        if self.translation.echo:
            # All tokens, so that each stands where a client that counts its prompt's expects it.
            first = self.translation.requests[index].prompt[0]
            return text_logprobs(found, self.tokenizer, first)
        places = self._reader(index, finished).content_places()
        report = chat_logprobs if self.chat else text_logprobs
        return report([found[at] for at in places], self.tokenizer)


def unsettled(finished: Finished) -> JsonObject:
    """Return the mark of a text that its time bound ended: it is the best draft."""
    return {"settled": False} if finished.reason == "time" else {}


def raised(event: EngineEvent) -> Event:
    """Return an event; raise the error of a request that failed."""
    if isinstance(event, Failed):
        raise event.error
    if isinstance(event, Finished) and event.reason == "cancelled":
        raise BusyError("the server is shutting down")
    assert not isinstance(event, Completed)
    return event
