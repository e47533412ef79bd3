"""Choice stream: the deltas of one streamed choice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from redraft.events import Committed, Draft
from redraft.text import Detokenizer, Tokenizer
from redraft.text.reasoning import LABEL
from redraft.text.tokenizer import REPLACEMENT_CHARACTER
from redraft.text.tool_calls import OPEN


class ChoiceStream:
    """Deltas of one choice: reasoning and answer as they come, tool calls once they are whole.

    Attributes:
        content, reasoning: text that was sent.
    """

    def __init__(self, tokenizer: Tokenizer | None, *, calls: bool) -> None:
        self.content = self.reasoning = ""
        self._tokenizer = tokenizer
        self._detokenizer = Detokenizer(tokenizer) if tokenizer else None
        self._call = tokenizer.token_id(OPEN) if tokenizer and calls else None
        self._calling = False
        self._drawn: tuple[int, tuple[int, ...]] = (
            0,
            (),
        )  # the draft that was sent last: its canvas, its tokens

    def deltas(self, event: Committed) -> Iterator[dict[str, str]]:
        """Yield the deltas of a committed canvas."""
        if self._detokenizer is not None:
            self._detokenizer.add(event.tokens)
            thought = self._detokenizer.reasoning().rstrip(REPLACEMENT_CHARACTER)
            named = LABEL.startswith(
                thought.rpartition("\n")[2]
            )  # perhaps the channel's name alone, which is no thought
            if not named and thought != self.reasoning and thought.startswith(self.reasoning):
                added, self.reasoning = thought[len(self.reasoning) :], thought
                yield {"reasoning_content": added}
        # From the first call on all waits for the end: what follows it may be a call too.
        self._calling = self._calling or (self._call is not None and self._call in event.tokens)
        if event.text and not self._calling:
            self.content += event.text
            yield {"content": event.text}

    def rest(self, reasoning: str, text: str) -> Iterator[dict[str, str]]:
        """Yield the deltas that are left of a choice that has finished."""
        if len(reasoning) > len(self.reasoning) and reasoning.startswith(self.reasoning):
            yield {"reasoning_content": reasoning[len(self.reasoning) :]}
        if len(text) > len(self.content) and text.startswith(self.content):
            yield {"content": text[len(self.content) :]}

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
        return self._tokenizer.decode([token], special=True) if self._tokenizer else str(token)
