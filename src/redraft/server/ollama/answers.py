"""Answers in Ollama's form: lines of JSON, or one object."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime

from redraft import drawn
from redraft.server.between import FilledPlace
from redraft.server.dialects import error_in
from redraft.server.json_object import JsonObject
from redraft.server.runtime.sse import StreamForm, json_line
from redraft.server.turn import AnswerPiece, ChatTurn, Ended

OLLAMA_STREAM = StreamForm(
    json_line,
    lambda status, body: error_in("ollama", status, body),
    media_type="application/x-ndjson",
)
NANOSECONDS = 1_000_000_000
REASONS = {"stop": "stop", "tool_calls": "stop", "length": "length"}


def now() -> str:
    """Return the time as Ollama writes it."""
    return datetime.fromtimestamp(drawn.now(), UTC).isoformat().replace("+00:00", "Z")


class OllamaWriter:
    """Writes one answer.

    Args:
        model: the name of the request. chat: the form of /api/chat, else that of /api/generate.
    """

    def __init__(self, model: str, *, chat: bool) -> None:
        self._model, self._chat = model, chat
        self._began = time.monotonic()

    async def lines(self, turn: ChatTurn, *, drafts: bool) -> AsyncGenerator[JsonObject, None]:
        """Yield the lines of an answer; the last one has `done`."""
        async with aclosing(turn.pieces(drafts=drafts)) as pieces:
            async for piece in pieces:
                if piece.ended is not None:
                    yield self.last(piece.ended)
                else:
                    yield self.line(piece)

    async def whole(self, turn: ChatTurn) -> JsonObject:
        """Return the whole answer."""
        found = await turn.whole()
        calls = [call["function"] for call in found.calls]
        said = self._said(found.content, found.reasoning, calls)
        return self.last(found.ended) | said

    def line(self, piece: AnswerPiece) -> JsonObject:
        """Return a line that is not the last."""
        calls = [] if piece.call is None else [piece.call["function"]]
        draft = {} if piece.draft is None else {"draft": piece.draft}
        said = self._said(piece.content, piece.reasoning, calls)
        return self._head() | said | draft | {"done": False}

    def last(self, ended: Ended) -> JsonObject:
        """Return the last line."""
        usage = ended.usage
        seconds = usage["seconds"]
        figures = self._figures(usage["prompt_tokens"], usage["completion_tokens"], seconds)
        told: JsonObject = {"done_reason": REASONS[ended.reason]} | ended.mark
        if ended.logprobs is not None:
            told["logprobs"] = ended.logprobs
        if ended.unreadable:
            told["invalid_tool_calls"] = ended.unreadable
        steps = {"steps": usage["steps"], "tokens_per_forward": usage["tokens_per_forward"]}
        return self._head() | self._said("", "", []) | {"done": True} | told | figures | steps

    def loaded(self, reason: str) -> JsonObject:
        """Return the answer to a request that only loads or unloads a model."""
        return self._head() | self._said("", "", []) | {"done": True, "done_reason": reason}

    def filled(self, found: FilledPlace) -> JsonObject:
        """Return the whole answer to a request with a suffix."""
        reason = "stop" if found.settled else "length"
        figures = self._figures(found.prompt_tokens, found.new_tokens, found.seconds)
        more = {"done_reason": reason, "settled": found.settled, "steps": [[found.steps]]}
        return self._head() | {"response": found.text, "done": True} | more | figures

    async def in_two(self, answer: JsonObject) -> AsyncGenerator[JsonObject, None]:
        """Yield an answer that is known as lines: its text, and its end."""
        if text := answer.get("response"):
            yield self._head() | {"response": text, "done": False}
        yield answer | ({} if self._chat else {"response": ""})

    def _head(self) -> JsonObject:
        return {"model": self._model, "created_at": now()}

    def _said(self, content: str, reasoning: str, calls: list[JsonObject]) -> JsonObject:
        thinking = {"thinking": reasoning} if reasoning else {}
        if not self._chat:
            return {"response": content} | thinking
        message: JsonObject = {"role": "assistant", "content": content} | thinking
        if calls:
            message["tool_calls"] = [{"function": _function(call)} for call in calls]
        return {"message": message}

    def _figures(self, prompt: int, written: int, seconds: float) -> JsonObject:
        total = int((time.monotonic() - self._began) * NANOSECONDS)
        return {
            "total_duration": total,
            "load_duration": 0,
            "prompt_eval_count": prompt,
            "prompt_eval_duration": 0,
            "eval_count": written,
            "eval_duration": int(seconds * NANOSECONDS),
        }


def _function(call: JsonObject) -> JsonObject:
    return {"name": call["name"], "arguments": json.loads(call["arguments"])}
