"""Source code with holes as tokens: laid out as `redraft.editing.layout` lays out a text without
an instruction."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import chain, pairwise
from typing import Protocol

from redraft.config.special_tokens import BOS_ID
from redraft.tasks.code.holes import CodeExample
from redraft.text import Tokenizer
from redraft.train.row import Row

MAX_LEFT_SHARE = 4  # of a canvas, a quarter at most is what stands before the first hole
MIN_RIGHT_SHARE = 8  # an eighth of the canvas is left to the text behind the first hole
PADDING = 6  # a hole has up to so many tokens of padding, or up to its own length if longer
WHOLE_PREFIX = 0.75  # share of the examples with as much context as there is room for


class Room(Protocol):
    """Where rows go: a tokenizer, and the lengths of canvas and prefix in tokens."""

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def canvas_length(self) -> int: ...
    @property
    def prefix_length(self) -> int: ...
    @property
    def eos(self) -> int: ...
    @property
    def pad(self) -> int: ...


def code_row(example: CodeExample, room: Room, rng: random.Random) -> Row:
    """Return the tokens of an example; `rng` draws how much context is read, and the padding."""
    most = room.prefix_length - 1
    if rng.random() > WHOLE_PREFIX:
        most = rng.randint(0, most)
    return laid_out(example, room, most, lambda count: rng.randint(0, max(PADDING, count)))


def laid_out(
    example: CodeExample, room: Room, most: int, padding: Callable[[int], int] = lambda _: 0
) -> Row:
    """Return the tokens of an example, behind at most `most` tokens of context.

    `padding` says how many tokens a hole of so many tokens is wider. Holes that do not fit on the
    canvas become text; the first one is cut short.
    """
    length = room.canvas_length
    texts, insides = _parts(example, room.tokenizer)
    prefix, left = room.tokenizer.encode(example.prompt, bos=False), texts[0]
    end = [room.eos] if example.ends else []
    if example.holes:
        far = max(0, len(left) - length // MAX_LEFT_SHARE)
        prefix, texts[0] = prefix + left[:far], left[far:]
    prefix = [BOS_ID, *prefix[max(0, len(prefix) - most) :]]
    if not example.holes:
        canvas = (texts[0] + end)[:length]
        return Row(prefix, canvas, [False] * len(canvas), canvas, open_end=True)
    widths = [padding(len(inside)) for inside in insides]
    return _with_holes(prefix, texts, insides, widths, end, room)


def _parts(example: CodeExample, tokenizer: Tokenizer) -> tuple[list[list[int]], list[list[int]]]:
    """Return the tokens outside the holes, one part more than there are holes, and inside."""
    edges = [0, *chain.from_iterable(example.holes), len(example.answer)]
    parts = [
        tokenizer.encode(example.answer[first:last], bos=False) for first, last in pairwise(edges)
    ]
    return parts[::2], parts[1::2]


def _with_holes(
    prefix: list[int],
    texts: list[list[int]],
    insides: list[list[int]],
    widths: list[int],
    end: list[int],
    room: Room,
) -> Row:
    length = room.canvas_length
    limit = length - length // MIN_RIGHT_SHARE  # the last position that a hole may take
    canvas, answer = list(texts[0]), list(texts[0])
    given = [True] * len(canvas)
    for number, (inside, padding, text) in enumerate(zip(insides, widths, texts[1:], strict=True)):
        free = max(0, limit - len(canvas))
        if len(inside) > free:
            fits = 0 if number else free
            inside, text = inside[:fits], inside[fits:] + text
        padding = min(padding, free - len(inside)) if inside else 0
        canvas += [*inside, *[room.pad] * padding, *text]
        given += [False] * (len(inside) + padding) + [True] * len(text)
        answer += [*inside, *text]
    canvas, answer = (canvas + end)[:length], (answer + end)[:length]
    given = (given + [False] * len(end))[:length]
    return Row(prefix, canvas, given, answer, open_end=True)
