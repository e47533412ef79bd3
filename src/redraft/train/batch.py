"""Examples as tensors: prompts through the turn template on one side, answers on canvases on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from redraft.errors import ConfigError
from redraft.tasks.task import Example
from redraft.text import ChatTemplate, Tokenizer


@dataclass(frozen=True)
class Batch:
    """prefix: int64 [B, P], padded behind. prefix_lengths: int64 [B]. target: int64 [B, L], the canvas that is right.

    answer_lengths: int64 [B], canvas tokens up to and with the end of the turn; EOS fills the rest.
    """

    prefix: Tensor
    prefix_lengths: Tensor
    target: Tensor
    answer_lengths: Tensor

    def first(self, count: int) -> Batch:
        """The first `count` rows."""
        return Batch(*(getattr(self, f.name)[:count] for f in fields(self)))


@dataclass(frozen=True)
class Layout:
    """How an example becomes tokens: the answer, the end of the turn, and EOS up to the end of the canvas."""

    tokenizer: Tokenizer
    template: ChatTemplate
    canvas_length: int
    prefix_length: int
    end_of_turn: int = 106
    eos: int = 1
    pad: int = 0

    def prompt(self, example: Example) -> list[int]:
        text = self.template.render([{"role": "user", "content": example.prompt}])
        return self.tokenizer.encode(text, bos=False)

    def answer(self, example: Example) -> list[int]:
        return [*self.tokenizer.encode(example.answer, bos=False), self.end_of_turn]


def make_batch(examples: Sequence[Example], layout: Layout) -> Batch:
    """Tensors of a few examples.

    Raises:
        ConfigError: a prompt or an answer is longer than the layout has room for.
    """
    prompts = [layout.prompt(example) for example in examples]
    answers = [layout.answer(example) for example in examples]
    longest_prompt, longest_answer = max(map(len, prompts)), max(map(len, answers))
    if longest_prompt > layout.prefix_length or longest_answer > layout.canvas_length:
        raise ConfigError(
            f"an example has {longest_prompt} prompt tokens and {longest_answer} of answer, there is room for "
            f"{layout.prefix_length} and {layout.canvas_length}: raise prefix_length or canvas_length"
        )

    def table(rows: list[list[int]], length: int, filling: int) -> Tensor:
        return torch.tensor([row + [filling] * (length - len(row)) for row in rows])

    return Batch(
        prefix=table(prompts, layout.prefix_length, layout.pad),
        prefix_lengths=torch.tensor([len(prompt) for prompt in prompts]),
        target=table(answers, layout.canvas_length, layout.eos),
        answer_lengths=torch.tensor([len(answer) for answer in answers]),
    )
