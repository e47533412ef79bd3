"""Answers: events as OpenAI's objects, whole or in chunks."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

from redraft.events import Committed, Draft, Event, Failed, Finished
from redraft.server.jobs import Job
from redraft.server.worker import BusyError
from redraft.text import Detokenizer, Tokenizer
from redraft.text.tool_calls import ToolCall, answer_and_calls


class Answer:
    """One response on its way: its id, its name, the choices that have ended."""

    def __init__(self, kind: str, model: str, tokenizer: Tokenizer | None, job: Job) -> None:
        """kind: chat.completion or text_completion."""
        self.kind, self.model, self.tokenizer, self.job = kind, model, tokenizer, job
        self.id = ("chatcmpl-" if self.chat else "cmpl-") + secrets.token_hex(12)
        self.created = int(time.time())
        self.ended: dict[int, Finished] = {}

    @property
    def chat(self) -> bool:
        return self.kind == "chat.completion"

    def whole(self) -> dict[str, Any]:
        """All choices, once they have ended."""
        choices = [self._choice(index, finished) for index, finished in sorted(self.ended.items())]
        return self._object(self.kind, choices) | {"usage": self.usage()}

    async def chunks(
        self, events: AsyncIterator[tuple[int, Event]], *, usage: bool, drafts: bool
    ) -> AsyncIterator[dict[str, Any]]:
        """Chunks as the events come: a delta a committed canvas, one that closes each choice."""
        if self.chat:
            for index in range(len(self.job.requests)):
                yield self._chunk([{"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
        seen: dict[int, tuple[int, ...]] = {}
        async for index, event in events:
            match event:
                case Draft() if drafts:
                    yield self._chunk([]) | {"draft": self._draft(index, event, seen)}
                case Committed() if event.text and not self.job.calls:
                    yield self._chunk([self._delta(index, {"content": event.text} if self.chat else event.text)])
                case Finished():
                    self.ended[index] = event
                    for choice in self._closing(index, event):
                        yield self._chunk([choice])
        if usage:
            yield self._chunk([]) | {"usage": self.usage()}

    def usage(self) -> dict[str, Any]:
        """Tokens and passes of all choices."""
        figures = [finished.statistics for _, finished in sorted(self.ended.items())]
        written, passes = sum(one.new_tokens for one in figures), sum(one.forwards for one in figures)
        prompt = figures[0].prompt_tokens if figures else 0
        return {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
            "steps": [list(one.steps_per_canvas) for one in figures],
            "tokens_per_forward": written / max(passes, 1),
        }

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return self._object("chat.completion.chunk" if self.chat else self.kind, choices)

    def _delta(self, index: int, delta: Any, reason: str | None = None) -> dict[str, Any]:
        return {"index": index, "delta" if self.chat else "text": delta, "finish_reason": reason}

    def _closing(self, index: int, finished: Finished) -> Iterable[dict[str, Any]]:
        reason, text, calls = self._said(finished)
        if not self.chat:
            yield self._delta(index, "", reason)
            return
        if finished.reasoning:
            yield self._delta(index, {"reasoning_content": finished.reasoning})
        if self.job.calls and text:
            yield self._delta(index, {"content": text})
        if calls:
            yield self._delta(index, {"tool_calls": [call | {"index": number} for number, call in enumerate(calls)]})
        yield self._delta(index, {}, reason)

    def _choice(self, index: int, finished: Finished) -> dict[str, Any]:
        reason, text, calls = self._said(finished)
        if not self.chat:
            return {"index": index, "text": text, "finish_reason": reason, "logprobs": None}
        message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else ""), "refusal": None}
        if finished.reasoning:
            message["reasoning_content"] = finished.reasoning
        if calls:
            message["tool_calls"] = calls
        return {"index": index, "message": message, "finish_reason": reason, "logprobs": None}

    def _said(self, finished: Finished) -> tuple[str, str, list[dict[str, Any]]]:
        """Why a choice ended, its text, and the calls in it."""
        if self.job.calls:
            assert self.tokenizer is not None
            before, calls = answer_and_calls(finished.tokens, self.tokenizer)
            if calls:
                detokenizer = Detokenizer(self.tokenizer)
                return "tool_calls", detokenizer.text(before, last=True), [_call(call) for call in calls]
        # Under a constraint a text that fills its room is as complete as one that ends.
        reason = "length" if finished.reason == "length" and not self.job.constrained else "stop"
        return reason, finished.text, []

    def _draft(self, index: int, event: Draft, seen: dict[int, tuple[int, ...]]) -> dict[str, Any]:
        """A step: what changed since the one before, and what was accepted and revised."""
        before = seen.get(index, ()) if event.step > 1 else ()
        seen[index] = event.tokens
        changed = [at for at, token in enumerate(event.tokens) if at >= len(before) or before[at] != token]
        spell = self.tokenizer.decode if self.tokenizer else lambda tokens, special: str(tokens[0])
        return {
            "index": index,
            "canvas": event.canvas,
            "step": event.step,
            "changed": [[at, spell([event.tokens[at]], special=True)] for at in changed],
            "accepted": [at for at, yes in enumerate(event.accepted) if yes],
            "revised": [at for at, yes in enumerate(event.revised) if yes],
            "text": event.text,
        }


def _call(call: ToolCall) -> dict[str, Any]:
    """A call as OpenAI tells it."""
    function = {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}


def raised(event: Event | Failed) -> Event:
    """An event; the error of a request that failed is raised."""
    if isinstance(event, Failed):
        raise event.error
    if isinstance(event, Finished) and event.reason == "cancelled":
        raise BusyError("the server is shutting down")
    return event
