"""The reasoning channel: what stands between `<|channel>` and `<channel|>` is thought, the rest is
answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from redraft.text.tokenizer import Tokenizer

LABEL = "thought"


@dataclass(frozen=True)
class ReasoningChannel:
    """The two marker ids. Thought is told from answer by ids, so a marker can never be cut in
    two."""

    opens: int
    closes: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> ReasoningChannel | None:
        """The channel of a tokenizer that has the markers, else None."""
        opens, closes = tokenizer.token_id("<|channel>"), tokenizer.token_id("<channel|>")
        return None if opens is None or closes is None else cls(opens, closes)

    def split(self, tokens: Iterable[int]) -> tuple[list[list[int]], list[int]]:
        """Thoughts, one a channel, and the answer, markers left out; a channel that is never closed
        has no answer behind it."""
        thoughts: list[list[int]] = []
        answer: list[int] = []
        current = answer
        for token in tokens:
            if token == self.opens:
                current = []
                thoughts.append(current)
            elif token == self.closes:
                current = answer
            else:
                current.append(token)
        return thoughts, answer


def without_label(thought: str) -> str:
    """Thought without the channel's name, where that is its first line."""
    first, _, rest = thought.partition("\n")
    return (rest if first.strip() == LABEL else thought).strip()
