"""Source code with holes as token ids: laid out as `redraft.editing.layout` lays out a text."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import chain, pairwise

from redraft.config.special_tokens import BOS_ID
from redraft.tasks.code.holes import CodeExample
from redraft.text import Tokenizer
from redraft.train.example_encoder import EncodedExample, ExampleEncoder

# The text before the first hole takes at most 1 / so much of the canvas.
LEFT_PART = 4
# At least 1 / so much of the canvas is for the text behind the first hole.
RIGHT_PART = 8
# A hole has up to so many tokens of padding, or up to its own length if that is longer.
MAX_PADDING = 6
# The share of the examples with as much context as the prefix can hold.
FULL_PREFIX = 0.75


def encode_code(
    example: CodeExample, encoder: ExampleEncoder, rng: random.Random
) -> EncodedExample:
    """Encode an example; `rng` draws the length of its context, and the padding of holes."""
    limit = encoder.prefix_length - 1
    if rng.random() > FULL_PREFIX:
        limit = rng.randint(0, limit)

    def padding(count: int) -> int:
        return rng.randint(0, max(MAX_PADDING, count))

    return encode_within(example, encoder, limit, padding)


def encode_within(
    example: CodeExample,
    encoder: ExampleEncoder,
    max_context: int,
    padding: Callable[[int], int] = lambda count: 0,
) -> EncodedExample:
    """Encode an example behind at most `max_context` tokens of context.

    A hole that does not fit on the canvas becomes text; the first one is cut short.

    Args:
        padding: for a hole with so many tokens, the number of tokens of padding.
    """
    length = encoder.canvas_length
    texts, insides = _parts(example, encoder.tokenizer)
    prefix, left = encoder.tokenizer.encode(example.prompt, bos=False), texts[0]
    end = [encoder.eos] if example.ends else []
    if example.holes:
        cut = max(0, len(left) - length // LEFT_PART)
        prefix, texts[0] = prefix + left[:cut], left[cut:]
    prefix = [BOS_ID, *prefix[max(0, len(prefix) - max_context) :]]
    if not example.holes:
        canvas = (texts[0] + end)[:length]
        return EncodedExample(prefix, canvas, [False] * len(canvas), canvas, open_end=True)
    widths = [padding(len(inside)) for inside in insides]
    return _encode_holes(prefix, texts, insides, widths, end, encoder)


def _parts(example: CodeExample, tokenizer: Tokenizer) -> tuple[list[list[int]], list[list[int]]]:
    """Return the tokens outside the holes, one part more than there are holes, and inside."""
    edges = [0, *chain.from_iterable(example.holes), len(example.answer)]
    parts = [
        tokenizer.encode(example.answer[first:last], bos=False) for first, last in pairwise(edges)
    ]
    return parts[::2], parts[1::2]


def _encode_holes(
    prefix: list[int],
    texts: list[list[int]],
    insides: list[list[int]],
    widths: list[int],
    end: list[int],
    encoder: ExampleEncoder,
) -> EncodedExample:
    length = encoder.canvas_length
    # Holes end at this position at the latest.
    limit = length - length // RIGHT_PART
    canvas, answer = list(texts[0]), list(texts[0])
    frozen = [True] * len(canvas)
    for number, (inside, width, text) in enumerate(zip(insides, widths, texts[1:], strict=True)):
        free = max(0, limit - len(canvas))
        if len(inside) > free:
            fits = 0 if number else free
            inside, text = inside[:fits], inside[fits:] + text
        width = min(width, free - len(inside)) if inside else 0
        canvas += [*inside, *[encoder.pad] * width, *text]
        frozen += [False] * (len(inside) + width) + [True] * len(text)
        answer += [*inside, *text]
    canvas, answer = (canvas + end)[:length], (answer + end)[:length]
    frozen = (frozen + [False] * len(end))[:length]
    return EncodedExample(prefix, canvas, frozen, answer, open_end=True)
