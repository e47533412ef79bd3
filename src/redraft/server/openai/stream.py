"""Choice stream: the deltas of one streamed choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from redraft.events import Committed, Draft
from redraft.server.openai.tool_calls import call_to_json
from redraft.text import Answer, AnswerReader, Tokenizer


class ChoiceStream:
    """Deltas of one choice: reasoning and content as they come, each tool call once it is whole.

    Attributes:
        content, reasoning: text that was sent. calls: the number of calls that were sent.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | None,
        *,
        calls: bool = False,
        prompt: Sequence[int] = (),
        stops: Sequence[str] = (),
    ) -> None:
        self.content = self.reasoning = ""
        self.calls = 0
        self._tokenizer = tokenizer
        self._with_calls = calls
        self._reader = None if tokenizer is None else AnswerReader(
            tokenizer, prompt=prompt, calls=calls, stops=stops
        )  # fmt: skip
        # The draft that was sent last: its canvas, its tokens.
        self._drawn: tuple[int, tuple[int, ...]] = 0, ()

    def deltas(self, event: Committed) -> Iterator[dict[str, Any]]:
        """Yield the deltas of a committed canvas."""
        if self._reader is None:
            answer = Answer(self.content + event.text, "")
        else:
            self._reader.add(event.tokens)
            if self._with_calls:
                answer = self._reader.answer()
            else:
                answer = Answer(self.content + event.text, self._reader.reasoning())
        yield from self.rest(answer)

    def rest(self, answer: Answer) -> Iterator[dict[str, Any]]:
        """Yield the deltas that lead from what was sent to `answer`."""
        if len(answer.reasoning) > len(self.reasoning):
            added, self.reasoning = answer.reasoning[len(self.reasoning) :], answer.reasoning
            yield {"reasoning_content": added}
        if len(answer.content) > len(self.content):
            added, self.content = answer.content[len(self.content) :], answer.content
            yield {"content": added}
        first, self.calls = self.calls, len(answer.calls)
        for number, call in enumerate(answer.calls[first:], first):
            yield {"tool_calls": [call_to_json(call) | {"index": number}]}

    def draft(self, event: Draft) -> dict[str, Any]:
        """Return a denoising step as JSON.

        changed: positions and texts that differ from the draft sent before. accepted, revised:
            positions. confidence: in hundredths, a position each. entropy: mean, nats.
        """
        canvas, tokens = self._drawn
        before = tokens if canvas == event.canvas else ()
        self._drawn = event.canvas, event.tokens
        changed = [
            at for at, token in enumerate(event.tokens) if at >= len(before) or before[at] != token
        ]
        return {
            "canvas": event.canvas,
            "step": event.step,
            "changed": [[at, self._spelled(event.tokens[at])] for at in changed],
            "accepted": [at for at, yes in enumerate(event.accepted) if yes],
            "revised": [at for at, yes in enumerate(event.revised) if yes],
            "confidence": [round(100 * sure) for sure in event.confidence],
            "entropy": round(sum(event.entropy) / len(event.entropy), 4),
            "text": event.text,
        }

    def _spelled(self, token: int) -> str:
        return self._tokenizer.spelled(token) if self._tokenizer else str(token)
