"""Examples as tensors: prompts through the turn template on one side, answers on canvases on the
other."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from redraft.config.special_tokens import END_OF_TURN_ID, EOS_ID, PAD_ID
from redraft.errors import ConfigError
from redraft.tasks.code.holes import CodeExample
from redraft.tasks.task import Example
from redraft.text import ChatTemplate, Tokenizer
from redraft.train.code_rows import code_row
from redraft.train.row import Row

MOST_PADDING = 6  # tokens that a hole may be wider than what fills it
TAIL = 4  # what fills the canvas behind the end of the turn weighs as so many tokens, at most
PREFIXED = 0.3  # share of the examples with holes whose text before the first hole's line is read as a prefix


@dataclass(frozen=True)
class Batch:
    """prefix: int64 [B, P], padded behind. prefix_lengths: int64 [B]. target: int64 [B, L], the
    canvas that is right, EOS behind the end of the turn. given: bool [B, L], positions that are
    known. weight: float32 [B, L], what each position
    counts: 0 where it is given, 1 in the answer, little behind it. answer: int64 [B, L], what is
    learnt left to right.
    answer_lengths: int64 [B], its tokens up to and with the end of the turn.
    """

    prefix: Tensor
    prefix_lengths: Tensor
    target: Tensor
    given: Tensor
    weight: Tensor
    answer: Tensor
    answer_lengths: Tensor

    def part(self, number: int, count: int) -> Batch:
        """Every `count`-th row from `number` on."""
        return Batch(*(getattr(self, f.name)[number::count] for f in fields(self)))


@dataclass(frozen=True)
class Layout:
    """How an example becomes tokens: the answer, the end of the turn, and EOS up to the end of the
    canvas.

    Where an example has holes, all but them is given, the end too. A hole is its tokens and a few
    of padding, for a hole's width is seldom known; and now and then the lines before the first hole
    belong to the prefix instead.
    """

    tokenizer: Tokenizer
    template: ChatTemplate
    canvas_length: int
    prefix_length: int
    end_of_turn: int = END_OF_TURN_ID
    eos: int = EOS_ID
    pad: int = PAD_ID

    def prompt(self, example: Example) -> list[int]:
        text = self.template.render([{"role": "user", "content": example.prompt}])
        return self.tokenizer.encode(text, bos=False)

    def row(self, example: Example, rng: random.Random) -> Row:
        """An example as tokens; `rng` draws the padding of holes and where the canvas begins."""
        prefix = self.prompt(example)
        if not example.holes:
            answer = [*self.tokenizer.encode(example.answer, bos=False), self.end_of_turn]
            return Row(prefix, answer, [False] * len(answer), answer)
        start = (
            example.answer.rfind("\n", 0, example.holes[0][0]) + 1 if rng.random() < PREFIXED else 0
        )
        before = self.tokenizer.encode(example.answer[:start], bos=False)
        if len(prefix) + len(before) > self.prefix_length:
            start, before = 0, []
        prefix += before
        widths = [rng.randint(0, MOST_PADDING) for _ in example.holes]
        return self.with_holes(example, prefix, start, widths)

    def with_holes(
        self, example: Example, prefix: list[int], start: int, widths: Sequence[int]
    ) -> Row:
        """The answer from character `start` on, each hole padded by its number of `widths`, or less
        where there is no room."""
        canvas: list[int] = []
        given: list[bool] = []
        answer: list[int] = []
        at = start
        for (first, last), padding in zip(example.holes, widths, strict=True):
            outside = self.tokenizer.encode(example.answer[at:first], bos=False)
            inside = self.tokenizer.encode(example.answer[first:last], bos=False)
            canvas += [*outside, *inside, *[self.pad] * padding]
            given += [True] * len(outside) + [False] * (len(inside) + padding)
            answer += [*outside, *inside]
            at = last
        rest = [*self.tokenizer.encode(example.answer[at:], bos=False), self.end_of_turn]
        if len(canvas) + len(rest) > self.canvas_length and any(widths):
            return self.with_holes(example, prefix, start, [max(0, width - 1) for width in widths])
        return Row(prefix, canvas + rest, given + [True] * len(rest), answer + rest)


def row_of(example: Example, layout: Layout, rng: random.Random) -> Row:
    """Return an example as tokens, source code in its own way."""
    if isinstance(example, CodeExample):
        return code_row(example, layout, rng)
    return layout.row(example, rng)


def make_batch(examples: Sequence[Example], layout: Layout, rng: random.Random) -> Batch:
    """Tensors of a few examples.

    Raises:
        ConfigError: a prompt or an answer is longer than the layout has room for.
    """
    return batch_of([row_of(example, layout, rng) for example in examples], layout)


def batch_of(rows: Sequence[Row], layout: Layout) -> Batch:
    """Return rows as tensors.

    Raises:
        ConfigError: a prompt or an answer is longer than the layout has room for.
    """
    longest_prefix, longest_canvas = (
        max(len(row.prefix) for row in rows),
        max(len(row.canvas) for row in rows),
    )
    length = layout.canvas_length
    if longest_prefix > layout.prefix_length or longest_canvas > length:
        raise ConfigError(
            f"an example has {longest_prefix} prompt tokens and {longest_canvas} of answer, there is room for "
            f"{layout.prefix_length} and {length}: raise prefix_length or canvas_length"
        )

    def table(lists: list[list[int]], width: int, filling: int) -> Tensor:
        return torch.tensor([ids + [filling] * (width - len(ids)) for ids in lists])

    return Batch(
        prefix=table([row.prefix for row in rows], layout.prefix_length, layout.pad),
        prefix_lengths=torch.tensor([len(row.prefix) for row in rows]),
        target=table([row.canvas for row in rows], length, layout.eos),
        given=torch.tensor([row.given + [row.closed] * (length - len(row.given)) for row in rows]),
        weight=torch.tensor([_weights(row, length) for row in rows]),
        answer=table([row.answer for row in rows], length, layout.eos),
        answer_lengths=torch.tensor([len(row.answer) for row in rows]),
    )


def _weights(row: Row, length: int) -> list[float]:
    """What each position of a canvas counts in the loss."""
    behind = length - len(row.canvas)
    tail = 0.0 if row.closed else min(1.0, TAIL / max(1, behind))
    return [0.0 if known else 1.0 for known in row.given] + [tail] * behind
