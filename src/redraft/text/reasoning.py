"""ReasoningChannel: tokens between `<|channel>` and `<channel|>` are reasoning, the others are the
answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from redraft.text.tokenizer import Tokenizer

LABEL = "thought"


@dataclass(frozen=True)
class ReasoningChannel:
    """The ids of the two markers. Reasoning is found by ids, not in text: a marker that is still
    being written can so never be mistaken for text.

    Attributes:
        open, close: the ids.
    """

    open: int
    close: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> ReasoningChannel | None:
        """Return the channel of a tokenizer, None where it lacks the markers."""
        opening, closing = tokenizer.token_id("<|channel>"), tokenizer.token_id("<channel|>")
        return None if opening is None or closing is None else cls(opening, closing)

    def split(self, tokens: Iterable[int]) -> tuple[list[list[int]], list[int]]:
        """Split tokens into the thoughts, one for each channel, and the answer, without markers.

        A channel that is not closed lasts to the end.
        """
        thoughts: list[list[int]] = []
        answer: list[int] = []
        current = answer
        for token in tokens:
            if token == self.open:
                current = []
                thoughts.append(current)
            elif token == self.close:
                current = answer
            else:
                current.append(token)
        return thoughts, answer


def without_label(thought: str) -> str:
    """Return a thought without the channel's name, where that is its first line."""
    first, _, rest = thought.partition("\n")
    return (rest if first.strip() == LABEL else thought).strip()
