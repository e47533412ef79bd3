"""Answers in llama.cpp's form."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from redraft.events import Committed, Finished
from redraft.server.between import FilledPlace
from redraft.server.json_object import JsonObject
from redraft.server.llamacpp.schemas import LlamaCompletionRequest, StopType
from redraft.server.openai.asking import events_of
from redraft.server.openai.completion_schema import CompletionRequest
from redraft.server.openai.logprobs import chat_logprobs
from redraft.server.openai.response import OpenAIResponse
from redraft.server.runtime.pools import written
from redraft.server.runtime.registry import HostedModel

Answer = JsonObject


@dataclass
class Figures:
    """Figures of an answer, beside its content."""

    prompt_tokens: int
    new_tokens: int = 0
    cached_tokens: int = 0
    steps: int = 0
    seconds: float = 0.0
    stop_type: StopType = "eos"
    stopping_word: str = ""
    truncated: bool = False
    settled: bool = True
    settings: JsonObject = field(default_factory=dict)


def final(model: str, content: str, prompt: str, figures: Figures, index: int = 0) -> Answer:
    """Return the answer, or the last chunk of a stream."""
    one, count, milliseconds = figures, figures.new_tokens, 1000 * figures.seconds
    return {
        "index": index,
        "content": content,
        "tokens": [],
        "id_slot": 0,
        "stop": True,
        "model": model,
        "tokens_predicted": count,
        "tokens_evaluated": one.prompt_tokens,
        "generation_settings": one.settings,
        "prompt": prompt,
        "has_new_line": "\n" in content,
        "truncated": one.truncated,
        "stop_type": one.stop_type,
        "stopping_word": one.stopping_word,
        "tokens_cached": one.cached_tokens,
        "settled": one.settled,
        "steps": one.steps,
        "timings": {
            "prompt_n": one.prompt_tokens,
            "prompt_ms": 0.0,
            "prompt_per_token_ms": 0.0,
            "prompt_per_second": 0.0,
            "predicted_n": count,
            "predicted_ms": milliseconds,
            "predicted_per_token_ms": milliseconds / max(count, 1),
            "predicted_per_second": count / max(one.seconds, 1e-9),
        },
    }


def chunk(content: str, figures: Figures) -> Answer:
    """Return a chunk of a stream that is not the last."""
    return {
        "index": 0,
        "content": content,
        "tokens": [],
        "stop": False,
        "id_slot": 0,
        "tokens_predicted": figures.new_tokens,
        "tokens_evaluated": figures.prompt_tokens,
    }


def selected(answer: Answer, names: Sequence[str] | None) -> Answer:
    """Return the fields of an answer that a client asks for, by paths such as timings/prompt_n."""
    if not names:
        return answer
    found: Answer = {}
    for name in names:
        value: Any = answer
        for part in name.split("/"):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            found[name] = value
    return found


def of_filled(filled: FilledPlace, settings: JsonObject) -> Figures:
    """Return the figures of an infill."""
    stop_type: StopType = "eos" if filled.settled else "limit"
    return Figures(
        filled.prompt_tokens,
        filled.new_tokens,
        steps=filled.steps,
        seconds=filled.seconds,
        stop_type=stop_type if filled.stopped is None else "word",
        stopping_word=filled.stopped or "",
        truncated=filled.truncated,
        settled=filled.settled,
        settings=settings,
    )


class CompletionWriter:
    """Writes the completions of one request."""

    def __init__(
        self,
        hosted: HostedModel,
        given: LlamaCompletionRequest,
        body: CompletionRequest,
        answer: OpenAIResponse,
    ) -> None:
        self._hosted, self._given, self._body, self._answer = hosted, given, body, answer
        prompts = [one.prompt for one in answer.translation.requests]
        self._figures = [Figures(len(prompt), settings=shown(given)) for prompt in prompts]
        self._texts = ["" for _ in prompts]

    async def chunks(self) -> AsyncGenerator[Answer, None]:
        """Yield the chunks of the first completion; the last of them has `stop`."""
        async with aclosing(self._contents()) as contents:
            async for index, content in contents:
                if index == 0:
                    yield chunk(content, self._figures[0])
        (last, *_) = await written(self._finals)
        yield selected(last | {"content": ""}, self._given.response_fields)

    async def whole(self) -> Answer | list[Answer]:
        """Return the completion; a list of them where there are several prompts."""
        async with aclosing(self._contents()) as contents:
            async for _ in contents:
                pass
        ended = await written(self._finals)
        found = [selected(one, self._given.response_fields) for one in ended]
        return found if len(found) > 1 else found[0]

    async def _contents(self) -> AsyncGenerator[tuple[int, str], None]:
        """Yield what is added to each text."""
        events = events_of(self._hosted, self._answer, self._body, drafts=False)
        async with aclosing(events):
            async for index, event in events:
                match event:
                    case Committed():
                        self._texts[index] += event.text
                        self._figures[index].new_tokens += len(event.tokens)
                        yield index, event.text
                    case Finished():
                        self._answer.ended[index] = event
                        rest = event.text.removeprefix(self._texts[index])
                        self._texts[index] += rest
                        self._end(index, event)
                        yield index, rest

    def _end(self, index: int, finished: Finished) -> None:
        figures, statistics = self._figures[index], finished.statistics
        figures.new_tokens, figures.seconds = statistics.new_tokens, statistics.seconds
        figures.steps, figures.cached_tokens = statistics.forwards, statistics.cached_tokens
        if finished.reason == "stop_string":
            figures.stop_type = "word"
            figures.stopping_word = self._answer.stop_string(index) or ""
        elif finished.reason == "time":
            figures.settled, figures.stop_type = False, "limit"
        elif finished.reason == "length" and not self._answer.translation.constrained:
            figures.stop_type = "limit"

    def _finals(self) -> list[Answer]:
        found: list[Answer] = []
        tokenizer = self._hosted.model.tokenizer
        for index, figures in enumerate(self._figures):
            prompt = self._answer.translation.requests[index].prompt
            spelled = "" if tokenizer is None else tokenizer.decode(prompt)
            one = final(self._hosted.name, self._texts[index], spelled, figures, index)
            likely = self._answer.likelihoods.get(index)
            if likely is not None and tokenizer is not None:
                content = chat_logprobs(likely, tokenizer)["content"]
                one["completion_probabilities"] = [
                    {"id": each.token} | told for each, told in zip(likely, content, strict=True)
                ]
            found.append(one)
        return found


def shown(given: Any) -> JsonObject:
    """Return the fields of a request that are settings, as they were given."""
    left_out = {"prompt", "suffix", "input_prefix", "input_suffix", "input_extra", "model"}
    fields: JsonObject = given.model_dump(exclude_none=True)
    return {name: value for name, value in fields.items() if name not in left_out}
