"""Answer: the chunks of another engine's stream as redraft's events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from redraft.errors import RemoteEngineError
from redraft.events import Committed, Draft, Event, Finished, FinishReason, Statistics

JsonObject = dict[str, Any]
REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length", "tool_calls": "stop"}
# Two names of the reasoning in a delta: vLLM's new one, and that of all others.
REASONING = ("reasoning_content", "reasoning")


@dataclass
class RemoteAnswer:
    """The state of an answer.

    Attributes:
        request: its number among several prompts. seed: that was sent; None for an engine without
            seeds. json_value: the text is JSON whose value is wanted.
    """

    request: int
    seed: int | None
    json_value: bool = False
    text: str = ""
    reasoning: str = ""
    calls: dict[int, JsonObject] = field(default_factory=dict)
    reason: FinishReason | None = None
    usage: JsonObject = field(default_factory=dict)
    canvases: int = 0
    began: float = 0.0
    first: float = 0.0

    def events(self, chunks: Iterable[JsonObject]) -> Iterator[Event]:
        """Yield the events of a stream, Finished at its end.

        Raises:
            RemoteEngineError: the stream holds an error, or breaks off.
        """
        self.began = time.monotonic()
        for chunk in chunks:
            if chunk.get("error") or chunk.get("object") == "error":
                raise RemoteEngineError.of(chunk)
            self.usage = chunk.get("usage") or self.usage
            if isinstance(drawn := chunk.get("draft"), dict):
                self._touch()
                yield self._draft(drawn)
            for choice in chunk.get("choices") or []:
                added = self._add(choice)
                if added:
                    self._touch()
                    self.canvases += 1
                    yield Committed(
                        request=self.request,
                        canvas=self.canvases - 1,
                        steps=0,
                        tokens=(),
                        text=added,
                    )
        if self.reason is None:
            raise RemoteEngineError("the server's stream broke off before its end: ask again")
        yield self._finished(self.reason)

    def _touch(self) -> None:
        self.first = self.first or time.monotonic() - self.began

    def _add(self, choice: Mapping[str, Any]) -> str:
        """Take a choice of a chunk, and return the text that it adds."""
        delta = choice.get("delta") or {}
        added = str(choice.get("text") or delta.get("content") or "")
        self.text += added
        self.reasoning += next((delta[name] for name in REASONING if delta.get(name)), "")
        for at, call in enumerate(delta.get("tool_calls") or []):
            known = self.calls.setdefault(call.get("index", at), {"name": "", "arguments": ""})
            function = call.get("function") or {}
            known["name"] += function.get("name") or ""
            known["arguments"] += function.get("arguments") or ""
        if (reason := choice.get("finish_reason")) is not None:
            self.reason = REASONS.get(reason, "stop")
            # vLLM's `stop_reason` is the string that ended a text, or a token.
            if self.reason == "stop" and isinstance(choice.get("stop_reason"), str):
                self.reason = "stop_string"
        return added

    def _draft(self, drawn: Mapping[str, Any]) -> Draft:
        """Return a denoising step: its tokens are not known, and of its entropy the mean alone."""
        confidence = tuple(hundredths / 100 for hundredths in drawn.get("confidence", ()))
        length = len(confidence)
        accepted, revised = set(drawn.get("accepted", ())), set(drawn.get("revised", ()))
        return Draft(
            request=self.request,
            canvas=drawn.get("canvas", 0),
            step=drawn.get("step", 0),
            tokens=(),
            accepted=tuple(at in accepted for at in range(length)),
            revised=tuple(at in revised for at in range(length)),
            entropy=(drawn.get("entropy", 0.0),) * length,
            confidence=confidence,
            text=drawn.get("text", ""),
        )

    def _finished(self, reason: FinishReason) -> Finished:
        parsed, problem = self._parsed()
        return Finished(
            request=self.request,
            reason=reason,
            seed=self.seed,
            tokens=(),
            text=self.text,
            reasoning=self.reasoning,
            parsed=parsed,
            parse_error=problem,
            statistics=self._statistics(),
        )

    def _parsed(self) -> tuple[Any, str | None]:
        """Return the value of JSON, or the calls of tools; or why they cannot be read."""
        try:
            if self.calls:
                calls = [self.calls[at] for at in sorted(self.calls)]
                return [
                    {"name": one["name"], "arguments": json.loads(one["arguments"] or "{}")}
                    for one in calls
                ], None
            return (json.loads(self.text) if self.json_value else None), None
        except ValueError as error:
            return None, str(error)

    def _statistics(self) -> Statistics:
        seconds = time.monotonic() - self.began
        steps = tuple((self.usage.get("steps") or [()])[0])
        written = self.usage.get("completion_tokens") or 0
        details = self.usage.get("prompt_tokens_details") or {}
        return Statistics(
            prompt_tokens=self.usage.get("prompt_tokens") or 0,
            cached_tokens=details.get("cached_tokens") or 0,
            new_tokens=written,
            steps_per_canvas=steps,
            forwards=sum(steps),
            encoder_passes=0,
            tokens_per_forward=written / sum(steps) if steps else 0.0,
            tokens_per_second=written / seconds if seconds else 0.0,
            time_to_first_draft=self.first,
            time_to_first_commit=self.first,
            seconds=seconds,
        )
