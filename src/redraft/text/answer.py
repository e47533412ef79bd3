"""AnswerReader: the content, the reasoning and the tool calls in a model's answer.

tokens -> thoughts | text | call regions -> Answer

Parts are found by the ids of special tokens, never in text. Whatever pieces the tokens come in, the
answer is the same; before the end it holds what more tokens can no longer change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from redraft.text.call_parser import ToolCall
from redraft.text.call_region import CallTokens, UnreadableCall, read_region
from redraft.text.growing_text import GrowingText
from redraft.text.reasoning import ReasoningChannel, Thoughts
from redraft.text.stop_strings import before_stop, without_started_stop
from redraft.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Answer:
    """The text of a model, read: content, thoughts and tool calls.

    Attributes:
        content: the text before, between and behind calls, with unreadable calls as they were
            written. White space alone beside a call is left out.
        reasoning: the text of all thoughts, without the channel's name.
        calls: the tool calls that can be read. A call in a thought is none.
        unreadable: the others.
    """

    content: str
    reasoning: str
    calls: tuple[ToolCall, ...] = ()
    unreadable: tuple[UnreadableCall, ...] = ()


def read_answer(
    tokens: Iterable[int], tokenizer: Tokenizer, *, prompt: Sequence[int] = ()
) -> Answer:
    """Return the answer that tokens spell.

    Args:
        prompt: the tokens before it; a channel that they leave open goes on in the answer.
    """
    reader = AnswerReader(tokenizer, prompt=prompt)
    reader.add(tokens)
    return reader.answer(last=True)


class AnswerReader:
    """Reads an answer whose tokens come in pieces.

    Args:
        prompt: the tokens before the answer.
        calls: False reads tool calls as text.
        stops: stop strings of the request; content ends before the first of them.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        prompt: Sequence[int] = (),
        calls: bool = True,
        stops: Sequence[str] = (),
    ) -> None:
        self._tokenizer = tokenizer
        self._stops = stops
        self._ids = CallTokens.find(tokenizer) if calls else None
        self._channel = ReasoningChannel.of(tokenizer)
        self._growing = GrowingText(tokenizer)
        self._thoughts = Thoughts(self._growing)
        self._in_thought = False
        if self._channel and (opened := self._channel.opened_in(prompt)) is not None:
            self._thoughts.begin(opened)
            self._in_thought = True
        self._parts: list[str | ToolCall | UnreadableCall] = []
        self._text: list[int] = []
        self._region: list[int] | None = None

    def add(self, tokens: Iterable[int]) -> None:
        """Append tokens."""
        for token in tokens:
            if self._region is not None:
                self._add_to_region(token)
            elif self._channel and token == self._channel.open:
                self._thoughts.begin()
                self._in_thought = True
            elif self._channel and token == self._channel.close:
                self._in_thought = False
            elif self._in_thought:
                self._thoughts.add(token)
            elif self._ids and token == self._ids.open:
                self._parts.append(self._text_part(last=True))
                self._text, self._region = [], []
            else:
                self._text.append(token)

    def answer(self, *, last: bool = False) -> Answer:
        """Return the answer so far.

        Args:
            last: no more tokens will come.
        """
        parts = [*self._parts]
        if self._region is None:
            parts.append(self._text_part(last=last))
        elif last and self._ids:
            parts += read_region(self._region, self._tokenizer, self._ids, closed=False)
        return Answer(
            content=_content(parts, last=last),
            reasoning=self._thoughts.text(last=last),
            calls=tuple(part for part in parts if isinstance(part, ToolCall)),
            unreadable=tuple(part for part in parts if isinstance(part, UnreadableCall)),
        )

    def reasoning(self) -> str:
        """Return the text of the thoughts so far."""
        return self._thoughts.text(last=False)

    def _add_to_region(self, token: int) -> None:
        assert self._ids is not None
        assert self._region is not None
        if token != self._ids.close:
            self._region.append(token)
            return
        self._parts += read_region(self._region, self._tokenizer, self._ids, closed=True)
        self._region = None

    def _text_part(self, *, last: bool) -> str:
        text, _ = before_stop(self._growing.decode(self._text, last=last), self._stops)
        return text if last else without_started_stop(text, self._stops)


def _content(parts: Sequence[str | ToolCall | UnreadableCall], *, last: bool) -> str:
    """Return the text of an answer, without runs of white space beside a call."""
    runs, called = [""], False
    for part in parts:
        if isinstance(part, ToolCall):
            called = True
            runs.append("")
        else:
            runs[-1] += part if isinstance(part, str) else part.text
    # A run that may still grow waits until it is more than white space.
    kept = [run for run in runs if run.strip() or (last and not called)]
    return "".join(kept)
