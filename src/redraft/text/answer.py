"""AnswerReader: the content, the reasoning and the tool calls in a model's answer.

tokens -> thoughts | text | call regions -> Answer

Parts are found by the ids of special tokens, never in text. Whatever pieces the tokens come in, the
answer is the same; before the end it holds what more tokens can no longer change.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TypeAlias

from redraft.text.call_parser import ToolCall
from redraft.text.call_region import CallTokens, UnreadableCall, read_region
from redraft.text.growing_text import GrowingText
from redraft.text.reasoning import ReasoningChannel, Thoughts
from redraft.text.stop_strings import before_stop, without_started_stop
from redraft.text.tokenizer import Tokenizer

Part: TypeAlias = str | ToolCall | UnreadableCall


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
        self._parts: list[Part] = []
        # Where the tokens of each part stand in the answer, then those of `_text` and `_region`.
        self._places: list[list[int]] = []
        self._here: list[int] = []
        self._text: list[int] = []
        self._region: list[int] | None = None
        self._count = 0

    def add(self, tokens: Iterable[int]) -> None:
        """Append tokens."""
        for at, token in enumerate(tokens, self._count):
            self._count = at + 1
            if self._region is not None:
                self._add_to_region(token, at)
            elif self._channel and token == self._channel.open:
                self._thoughts.begin()
                self._in_thought = True
            elif self._channel and token == self._channel.close:
                self._in_thought = False
            elif self._in_thought:
                self._thoughts.add(token)
            elif self._ids and token == self._ids.open:
                self._parts.append(self._text_part(last=True))
                self._places.append(self._text_places())
                self._text, self._region, self._here = [], [], [at]
            else:
                self._text.append(token)
                self._here.append(at)

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

    def content_places(self) -> list[int]:
        """Return where the tokens of the content stand in the answer, which has no more tokens.

        A token with the begin of a stop string counts where it also has text before that.
        """
        parts, places = [*self._parts], [*self._places]
        if self._region is None:
            parts.append(self._text_part(last=True))
            places.append(self._text_places())
        elif self._ids:
            region = read_region(self._region, self._tokenizer, self._ids, closed=False)
            parts, places = [*parts, *region], places + self._region_places(region)
        called = any(isinstance(part, ToolCall) for part in parts)
        found: list[int] = []
        for run, text in _runs(parts):
            if text.strip() or not called:
                found += chain.from_iterable(places[run])
        return found

    def reasoning(self) -> str:
        """Return the text of the thoughts so far."""
        return self._thoughts.text(last=False)

    def _add_to_region(self, token: int, at: int) -> None:
        assert self._ids is not None
        assert self._region is not None
        self._here.append(at)
        if token != self._ids.close:
            self._region.append(token)
            return
        region = read_region(self._region, self._tokenizer, self._ids, closed=True)
        self._parts += region
        self._places += self._region_places(region)
        self._region, self._here = None, []

    def _region_places(self, parts: Sequence[Part]) -> list[list[int]]:
        """Return the places of the parts of a region: the first has them all, where none is a
        call."""
        called = any(isinstance(part, ToolCall) for part in parts)
        return [[] if called or number else self._here for number in range(len(parts))]

    def _text_places(self) -> list[int]:
        """Return the places of the tokens of a text, up to a stop string."""
        length = len(self._text_part(last=True))

        def is_enough(count: int) -> bool:
            return len(self._growing.decode(self._text[:count], last=True)) >= length

        end = bisect_left(range(len(self._text)), True, key=is_enough)
        special = self._tokenizer.special_tokens()
        return [
            at
            for token, at in zip(self._text[:end], self._here, strict=False)
            if token not in special
        ]

    def _text_part(self, *, last: bool) -> str:
        text, _ = before_stop(self._growing.decode(self._text, last=last), self._stops)
        return text if last else without_started_stop(text, self._stops)


def _runs(parts: Sequence[Part]) -> Iterator[tuple[slice, str]]:
    """Yield the runs of parts between calls, and the text of each."""
    calls = [at for at, part in enumerate(parts) if isinstance(part, ToolCall)]
    for before, behind in pairwise([-1, *calls, len(parts)]):
        run = slice(before + 1, behind)
        yield run, "".join(map(_text_of, parts[run]))


def _text_of(part: Part) -> str:
    if isinstance(part, str):
        return part
    return part.text if isinstance(part, UnreadableCall) else ""


def _content(parts: Sequence[Part], *, last: bool) -> str:
    """Return the text of an answer, without runs of white space beside a call."""
    called = any(isinstance(part, ToolCall) for part in parts)
    # A run that may still grow waits until it is more than white space.
    kept = [text for _, text in _runs(parts) if text.strip() or (last and not called)]
    return "".join(kept)
