"""Examples as requests: a prompt to answer, or a canvas on which all but the holes is frozen."""

from __future__ import annotations

import random

from redraft.api import Model
from redraft.config import GenerationOptions
from redraft.engine import Request
from redraft.errors import ChatTemplateError
from redraft.tasks import Example
from redraft.train.example_encoder import MAX_HOLE_PADDING, ExampleEncoder


def example_encoder(model: Model) -> ExampleEncoder:
    """Return the encoder of examples for a model.

    Raises:
        ChatTemplateError: the model has no tokenizer or no chat template.
    """
    if model.tokenizer is None or model.chat_template is None:
        raise ChatTemplateError(
            "this checkpoint lacks a tokenizer or a chat template: the held-out sets need both"
        )
    return ExampleEncoder(
        model.tokenizer,
        model.chat_template,
        model.config.canvas_length,
        model.config.max_position_embeddings,
    )


def example_request(
    model: Model, example: Example, seed: int, options: GenerationOptions
) -> Request:
    """Return an example as a request.

    If it has holes, all but the holes is frozen on the canvas. A hole has room for its own tokens
    and up to MAX_HOLE_PADDING more, drawn by the seed, so that its width says little.

    Raises:
        ChatTemplateError: the model has no tokenizer or no chat template.
    """
    config = model.generation_config.with_options({**options, "seed": seed})
    encoder = example_encoder(model)
    prompt = encoder.encode_prompt(example)
    if not example.holes:
        return Request.checked(prompt, config, model.config)
    rng = random.Random(f"holes {seed}")
    widths = [rng.randint(0, MAX_HOLE_PADDING) for _ in example.holes]
    row = encoder.encode_holes(example, prompt, 0, widths)
    frozen = dict.fromkeys(range(len(row.canvas), model.config.canvas_length), encoder.eos)
    for at, (token, known) in enumerate(zip(row.canvas, row.frozen, strict=True)):
        if known:
            frozen[at] = token
    return Request.checked(row.prefix, config, model.config, frozen=frozen)
