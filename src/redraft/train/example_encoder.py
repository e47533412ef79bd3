"""Examples as token ids: the prompt through the chat template, the answer on a canvas."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from redraft.config.special_tokens import END_OF_TURN_ID, EOS_ID, PAD_ID
from redraft.errors import ConfigError
from redraft.tasks.task import Example
from redraft.text import ChatTemplate, Tokenizer

# A hole is up to so many tokens wider than its text.
MAX_HOLE_PADDING = 6
# The share of examples with holes in which the lines before the first hole belong to the prefix.
LINES_IN_PREFIX = 0.3


@dataclass(frozen=True)
class EncodedExample:
    """One example as token ids.

    Attributes:
        canvas: the right tokens of the canvas, up to and with the end of the turn.
        frozen: for each of them, true if it is given and stays.
        answer: the answer left to right, without the padding of holes.
        open_end: the canvas behind these tokens is open, even if the example has frozen tokens: the
            text is not closed by an end of turn.
        picture: (start, stop) tokens of the prefix that stand for an image.
    """

    prefix: list[int]
    canvas: list[int]
    frozen: list[bool]
    answer: list[int]
    open_end: bool = False
    picture: tuple[int, int] | None = None

    @property
    def closed(self) -> bool:
        """True if the canvas behind the tokens is frozen too."""
        return any(self.frozen) and not self.open_end


@dataclass(frozen=True)
class ExampleEncoder:
    """Encodes examples: the answer, the end of the turn, and EOS up to the end of the canvas.

    If an example has holes, everything outside them is frozen, the end too. A hole has its tokens
    and some padding, because the width of a hole is seldom known. In some examples the lines before
    the first hole belong to the prefix instead.

    Attributes:
        image_borders: the tokens before and behind an image; None for a network without images.
    """

    tokenizer: Tokenizer
    template: ChatTemplate
    canvas_length: int
    prefix_length: int
    end_of_turn: int = END_OF_TURN_ID
    eos: int = EOS_ID
    pad: int = PAD_ID
    image_borders: tuple[int, int] | None = None

    def encode_prompt(self, example: Example) -> list[int]:
        """Return the prompt's tokens, through the chat template."""
        text = self.template.render([{"role": "user", "content": example.prompt}])
        if example.picture is None:
            return self.tokenizer.encode(text, bos=False)
        if self.image_borders is None:
            raise ConfigError(
                "the task has images, and the model has no tokens for their borders: give "
                "boi_token_id and eoi_token_id in the recipe's [model]"
            )
        at = text.index(example.prompt)
        first, last = (at + place for place in example.picture)
        pieces = [
            self.tokenizer.encode(piece, bos=False)
            for piece in (text[:first], text[first:last], text[last:])
        ]
        begin, end = self.image_borders
        return [*pieces[0], begin, *pieces[1], end, *pieces[2]]

    def picture(self, example: Example, prefix: Sequence[int]) -> tuple[int, int] | None:
        """Return the (start, stop) tokens of the example's prefix that stand for an image."""
        if example.picture is None or self.image_borders is None:
            return None
        begin, end = self.image_borders
        return prefix.index(begin) + 1, prefix.index(end)

    def fits(self, example: Example) -> bool:
        """Return True where prompt and answer, without padding, are within the lengths."""
        answer = len(self.tokenizer.encode(example.answer, bos=False)) + 1
        prompt = len(self.encode_prompt(example))
        return prompt <= self.prefix_length and answer <= self.canvas_length

    def encode(self, example: Example, rng: random.Random) -> EncodedExample:
        """Encode an example.

        Args:
            rng: draws the padding of holes, and where the canvas begins.
        """
        prefix = self.encode_prompt(example)
        if not example.holes:
            answer = [*self.tokenizer.encode(example.answer, bos=False), self.end_of_turn]
            free = [False] * len(answer)
            picture = self.picture(example, prefix)
            return EncodedExample(prefix, answer, free, answer, picture=picture)
        start = 0
        if rng.random() < LINES_IN_PREFIX:
            start = example.answer.rfind("\n", 0, example.holes[0][0]) + 1
        before = self.tokenizer.encode(example.answer[:start], bos=False)
        if len(prefix) + len(before) > self.prefix_length:
            start, before = 0, []
        widths = [rng.randint(0, MAX_HOLE_PADDING) for _ in example.holes]
        return self.encode_holes(example, prefix + before, start, widths)

    def encode_holes(
        self, example: Example, prefix: list[int], start: int, padding: Sequence[int]
    ) -> EncodedExample:
        """Encode the answer from character `start` on.

        Args:
            padding: tokens of padding in each hole; fewer are used if the canvas is too short.
        """
        canvas: list[int] = []
        frozen: list[bool] = []
        answer: list[int] = []
        at = start
        for (first, last), width in zip(example.holes, padding, strict=True):
            outside = self.tokenizer.encode(example.answer[at:first], bos=False)
            inside = self.tokenizer.encode(example.answer[first:last], bos=False)
            canvas += [*outside, *inside, *[self.pad] * width]
            frozen += [True] * len(outside) + [False] * (len(inside) + width)
            answer += [*outside, *inside]
            at = last
        rest = [*self.tokenizer.encode(example.answer[at:], bos=False), self.end_of_turn]
        if len(canvas) + len(rest) > self.canvas_length and any(padding):
            narrower = [max(0, width - 1) for width in padding]
            return self.encode_holes(example, prefix, start, narrower)
        return EncodedExample(prefix, canvas + rest, frozen + [True] * len(rest), answer + rest)
