"""Holes filled left to right: each is written behind the text before it, to the end of its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redraft.api import Model
from redraft.config import GenerationOptions
from redraft.engine import Request
from redraft.evals.example_requests import example_encoder
from redraft.events import Finished
from redraft.tasks import Example


@dataclass
class PartialInfill:
    """An example whose holes are filled one by one.

    Attributes:
        text: the answer so far, up to the next hole.
        steps: forward passes so far.
    """

    example: Example
    text: str
    steps: int = 0

    def fill(self, number: int, line: str) -> str:
        """Fill hole `number` from a written line, and append the text up to the next hole.

        The hole's part of the line ends where the given text behind the hole begins. If the given
        text ends the line, that is its last occurrence; otherwise its first.

        Returns:
            The text that was put into the hole.
        """
        answer, holes = self.example.answer, self.example.holes
        last = number + 1 == len(holes)
        given = answer[holes[number][1] : len(answer) if last else holes[number + 1][0]]
        line = line.split("\n")[0]
        after, newline, _ = given.partition("\n")
        at = -1
        if after:
            at = line.rfind(after) if newline or last else line.find(after)
        fill = line[:at] if at >= 0 else line
        self.text += fill + given
        return fill


def infill_autoregressively(
    model: Model,
    examples: Sequence[Example],
    seed: int,
    options: GenerationOptions,
    batch_size: int,
) -> list[PartialInfill]:
    """Fill the holes of all examples; example i is written with seed + i."""
    encoder = example_encoder(model)
    partial = [
        PartialInfill(example, example.answer[: example.holes[0][0]]) for example in examples
    ]
    for hole in range(max(len(example.holes) for example in examples)):
        open_ = [(at, one) for at, one in enumerate(partial) if hole < len(one.example.holes)]
        requests = [
            line_request(model, one.example, one.text, seed + at, options) for at, one in open_
        ]
        for event in model.run(requests, method="autoregressive", max_batch_size=batch_size):
            if isinstance(event, Finished):
                one = open_[event.request][1]
                fill = one.fill(hole, event.text)
                # A forward pass for each token that was used, and one that ends the hole.
                one.steps += len(encoder.tokenizer.encode(fill, bos=False)) + 1
    return partial


def line_request(
    model: Model, example: Example, text: str, seed: int, options: GenerationOptions
) -> Request:
    """Return a request for the rest of the line behind `text`, with which the answer begins."""
    encoder = example_encoder(model)
    config = model.generation_config.with_options({**options, "seed": seed, "stop": ("\n",)})
    prompt = encoder.encode_prompt(example) + encoder.tokenizer.encode(text, bos=False)
    return Request.checked(prompt, config, model.config)
