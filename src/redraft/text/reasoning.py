"""Reasoning: tokens between `<|channel>` and `<channel|>` are thoughts, the others are the answer.

A channel's name is its first line. `thought` is left out of the reasoning; the text of a channel
with another name is reasoning too, and keeps the name, as in vLLM.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from redraft.text.growing_text import GrowingText
from redraft.text.tokenizer import TokenIds

LABEL = "thought"
OPEN, CLOSE, TURN = CHANNEL_MARKERS = ("<|channel>", "<channel|>", "<|turn>")
# A template writes this token where the model is to think.
THINK = "<|think|>"


@dataclass(frozen=True)
class ReasoningChannel:
    """The ids of the two markers. Reasoning is found by ids, not in text: a marker that is still
    being written can so never be mistaken for text.

    Attributes:
        open, close: the ids.
        turn: the id that opens a turn; None where the vocabulary lacks it.
    """

    open: int
    close: int
    turn: int | None = None

    @classmethod
    def of(cls, tokenizer: TokenIds) -> ReasoningChannel | None:
        """Return the channel of a tokenizer, None where it lacks the markers."""
        opening, closing = tokenizer.token_id(OPEN), tokenizer.token_id(CLOSE)
        if opening is None or closing is None:
            return None
        return cls(opening, closing, tokenizer.token_id(TURN))

    def opened_in(self, prompt: Sequence[int]) -> Sequence[int] | None:
        """Return what a prompt holds of a channel that it leaves open in its last turn, else None.

        Some templates open the channel themselves: the first new token is reasoning then.
        """
        for at in range(len(prompt) - 1, -1, -1):
            if prompt[at] == self.open:
                return prompt[at + 1 :]
            if prompt[at] in (self.close, self.turn):
                return None
        return None

    def split(
        self, tokens: Iterable[int], *, opened: bool = False
    ) -> tuple[list[list[int]], list[int]]:
        """Split tokens into the thoughts, one for each channel, and the answer, without markers.

        A channel that is not closed lasts to the end.

        Args:
            opened: the first token stands in a channel.
        """
        answer: list[int] = []
        thoughts: list[list[int]] = [[]] if opened else []
        current = thoughts[0] if opened else answer
        for token in tokens:
            if token == self.open:
                current = []
                thoughts.append(current)
            elif token == self.close:
                current = answer
            else:
                current.append(token)
        return thoughts, answer


class Thoughts:
    """The text of growing thoughts."""

    def __init__(self, growing: GrowingText) -> None:
        self._growing = growing
        self._ended: list[str] = []
        self._prefix: list[int] = []
        self._tokens: list[int] | None = None

    def begin(self, prefix: Sequence[int] = ()) -> None:
        """Begin the next thought; `prefix` are tokens of the prompt that stand in it."""
        if self._tokens is not None:
            self._ended.append(self._current(last=True))
        self._prefix, self._tokens = list(prefix), []

    def add(self, token: int) -> None:
        """Append a token to the thought that began last."""
        assert self._tokens is not None
        self._tokens.append(token)

    def text(self, *, last: bool) -> str:
        """Return the text of all thoughts; before the `last` token what can no longer change."""
        current = "" if self._tokens is None else self._current(last=last)
        return "\n".join(text for text in (*self._ended, current) if text)

    def _current(self, *, last: bool) -> str:
        assert self._tokens is not None
        text = self._growing.decode([*self._prefix, *self._tokens], last=last)
        # Perhaps the channel's name alone, which is no thought.
        if not last and (LABEL.startswith(text.lstrip()) or text.strip() == LABEL):
            return ""
        given = without_label(self._growing.decode(self._prefix, last=True))
        return without_label(text).removeprefix(given).lstrip()


def without_label(thought: str) -> str:
    """Return a thought without the channel's name, where that is its first line."""
    first, _, rest = thought.partition("\n")
    return (rest if first.strip() == LABEL else thought).strip()
