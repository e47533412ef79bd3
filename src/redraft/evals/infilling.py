"""Examples with holes: on a canvas, where both sides are seen, and left to right, where one is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redraft.api import Model
from redraft.engine import Request
from redraft.errors import ChatTemplateError
from redraft.events import Finished
from redraft.tasks import Example
from redraft.train.batch import MOST_PADDING, Layout


def layout(model: Model) -> Layout:
    """How this model's examples become tokens.

    Raises:
        ChatTemplateError: it has no tokenizer or no template.
    """
    if model.tokenizer is None or model.chat_template is None:
        raise ChatTemplateError(
            "this checkpoint lacks a tokenizer or a chat template: the held-out sets need both"
        )
    return Layout(
        model.tokenizer,
        model.chat_template,
        model.config.canvas_length,
        model.config.max_position_embeddings,
    )


def request(model: Model, example: Example, seed: int, options: dict[str, Any]) -> Request:
    """An example as a request. Where it has holes, all but them is frozen on the canvas; a hole has
    the room of what fills it and of up to six tokens more, drawn by the seed, so that its width
    says little."""
    config = model.generation_config.with_options(options | {"seed": seed})
    placed = layout(model)
    if not example.holes:
        return Request.checked(placed.prompt(example), config, model.config)
    rng = random.Random(f"holes {seed}")
    row = placed.with_holes(
        example, placed.prompt(example), 0, [rng.randint(0, MOST_PADDING) for _ in example.holes]
    )
    frozen = dict.fromkeys(range(len(row.canvas), model.config.canvas_length), placed.eos)
    frozen |= {
        at: token
        for at, (token, known) in enumerate(zip(row.canvas, row.given, strict=True))
        if known
    }
    return Request.checked(row.prefix, config, model.config, frozen=frozen)


def line_request(
    model: Model, example: Example, text: str, seed: int, options: dict[str, Any]
) -> Request:
    """The rest of the line behind `text`, which an example's answer begins with: what a typewriter
    can be asked for."""
    placed = layout(model)
    config = model.generation_config.with_options(options | {"seed": seed, "stop": ("\n",)})
    prompt = placed.prompt(example) + placed.tokenizer.encode(text, bos=False)
    return Request.checked(prompt, config, model.config)


@dataclass
class Typed:
    """A text with holes as it is typed: what stands so far, and passes made."""

    example: Example
    text: str
    steps: int = 0

    def fill(self, number: int, written: str) -> str:
        """Put what was typed into hole `number`, up to where the given text goes on, and go on to
        the next hole; returns what was put there. Where the line ends with given text, that is the
        last place at which it stands."""
        answer, holes = self.example.answer, self.example.holes
        behind = answer[
            holes[number][1] : holes[number + 1][0] if number + 1 < len(holes) else len(answer)
        ]
        line = written.split("\n")[0]
        after, newline, _ = behind.partition("\n")
        at = (
            (line.rfind(after) if newline or number + 1 == len(holes) else line.find(after))
            if after
            else -1
        )
        piece = line[:at] if at >= 0 else line
        self.text += piece + behind
        return piece


def type_in(
    model: Model, examples: Sequence[Example], seed: int, options: dict[str, Any], batch_size: int
) -> list[Typed]:
    """Fill the holes left to right: each is typed behind the text before it, and cut where the text
    after it begins."""
    placed = layout(model)
    typed = [Typed(example, example.answer[: example.holes[0][0]]) for example in examples]
    for number in range(max(len(example.holes) for example in examples)):
        rows = [(at, one) for at, one in enumerate(typed) if number < len(one.example.holes)]
        requests = [
            line_request(model, one.example, one.text, seed + at, options) for at, one in rows
        ]
        for event in model.run(requests, method="typewriter", max_batch_size=batch_size):
            if isinstance(event, Finished):
                one = rows[event.request][1]
                put = one.fill(number, event.text)
                # A pass for each token that was used, and one that ends it.
                one.steps += len(placed.tokenizer.encode(put, bos=False)) + 1
    return typed
