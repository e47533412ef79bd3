"""Event reader: chunks of a stream -> drafts with their whole canvas, texts, and a result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from redraft.client.errors import ServerError
from redraft.client.events import (
    AnswerChoice,
    Filled,
    StreamedAnswer,
    StreamedDraft,
    StreamedText,
    StreamEvent,
)
from redraft.client.sse import END, SseDecoder

Chunk = Mapping[str, Any]


class EventReader:
    """Reads one stream of a chat, a completion, an infill or an edit. It needs no connection."""

    def __init__(self) -> None:
        self._decoder = SseDecoder()
        self._canvases: dict[int, tuple[int, list[str]]] = {}  # index -> canvas, its tokens
        self._choices: dict[int, AnswerChoice] = {}
        self._usage: Chunk = {}
        self._filled: Filled | None = None
        self.ended = False

    def feed(self, received: bytes) -> Iterator[StreamEvent]:
        """Yield the events in a piece of the stream.

        Raises:
            ServerError: the stream says that the request failed.
        """
        for data in self._decoder.feed(received):
            if data == END:
                self.ended = True
                return
            yield from self.read(json.loads(data))

    def read(self, chunk: Chunk) -> Iterator[StreamEvent]:
        """Yield the events of one chunk; errors as for `feed`."""
        if chunk.get("error") is not None:
            raise ServerError.of(chunk)
        drawn = chunk if chunk.get("object") == "infill.draft" else chunk.get("draft")
        if drawn is not None:
            yield self._draft(drawn)
        elif "fills" in chunk:
            self._filled = Filled(
                text=chunk["text"], fills=chunk["fills"], score=chunk["score"], body=chunk
            )
        for choice in chunk.get("choices", ()):
            yield from self._choice(choice)
        if chunk.get("usage") is not None:
            self._usage = chunk["usage"]

    def result(self) -> StreamedAnswer | Filled:
        """Return the result.

        Raises:
            ServerError: the stream has not come to its end.
        """
        if not self.ended:
            raise ServerError.broken_off()
        if self._filled is not None:
            return self._filled
        choices = [one for _, one in sorted(self._choices.items())]
        return StreamedAnswer(choices=choices, usage=self._usage)

    def _draft(self, drawn: Chunk) -> StreamedDraft:
        index = drawn["candidate"] if "candidate" in drawn else drawn["index"]
        canvas, tokens = self._canvases.get(index, (-1, []))
        # The first draft of a canvas names all of its positions.
        if canvas != drawn["canvas"] or len(tokens) != len(drawn["confidence"]):
            tokens = [""] * len(drawn["confidence"])
        for position, text in drawn["changed"]:
            tokens[position] = text
        self._canvases[index] = drawn["canvas"], tokens
        return StreamedDraft(
            index=index,
            canvas=drawn["canvas"],
            step=drawn["step"],
            tokens=tuple(tokens),
            changed=tuple(position for position, _ in drawn["changed"]),
            accepted=tuple(drawn["accepted"]),
            revised=tuple(drawn["revised"]),
            confidence=tuple(drawn["confidence"]),
            entropy=drawn["entropy"],
            text=drawn["text"],
        )

    def _choice(self, choice: Chunk) -> Iterator[StreamedText]:
        index = choice["index"]
        found = self._choices.setdefault(index, AnswerChoice())
        delta = choice.get("delta", {"content": choice.get("text")})
        text, reasoning = delta.get("content") or "", delta.get("reasoning_content") or ""
        found.text += text
        found.reasoning += reasoning
        found.tool_calls += delta.get("tool_calls") or []
        found.finish_reason = choice.get("finish_reason") or found.finish_reason
        if text or reasoning:
            yield StreamedText(index=index, text=text, reasoning=reasoning)
