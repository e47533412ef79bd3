"""The view of a record that fine-tuning gives a model, in the colours of a terminal."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from redraft.cli.view import printable

if TYPE_CHECKING:
    from redraft.train.finetune.config import FinetuneConfig
    from redraft.train.finetune.encode import RecordEncoder
    from redraft.train.finetune.records import Record

CONTEXT, LEARNT, NOISED, GIVEN = "dim", "green", "bold red", "dim"


def show_record(
    console: Console, encoder: RecordEncoder, record: Record, number: int, config: FinetuneConfig
) -> None:
    """Print the clean tokens of a record, its canvas, and the canvas with noise.

    Green tokens count in the loss; grey ones are given; red ones are noise.
    """
    from redraft.train.finetune.objective import CanvasBatch

    rng = random.Random(f"{config.seed} {number}")
    canvas = encoder.canvas(record, rng)
    batch = CanvasBatch.of(
        [canvas],
        [rng],
        vocab_size=encoder.shape.vocab_size,
        pad=encoder.shape.pad_token_id,
        min_noise=config.min_noise,
    )
    noisy = batch.noisy[0].tolist()
    console.rule(f"record {number + 1}", align="left")
    console.print(f"{len(canvas.sequence)} clean tokens, the canvas begins behind {canvas.start}:")
    learnt = [LEARNT if one else CONTEXT for one in canvas.learnt]
    console.print(_drawn(encoder, canvas.sequence, learnt), soft_wrap=True)
    console.print(f"the canvas, {len(canvas.target)} tokens:")
    styles = [LEARNT if one else GIVEN for one in canvas.counted]
    console.print(_drawn(encoder, canvas.target, styles), soft_wrap=True)
    console.print(f"the canvas with noise, t = {batch.level[0]:.2f}:")
    pairs = zip(noisy, canvas.target, styles, strict=True)
    noised = [NOISED if token != right else style for token, right, style in pairs]
    console.print(_drawn(encoder, noisy, noised), soft_wrap=True)


def _drawn(encoder: RecordEncoder, tokens: list[int], styles: list[str]) -> Text:
    """Return tokens as text, each in its style; runs of the fill token, and of the soft tokens of
    an image, are counted."""
    text, at = Text(), 0
    while at < len(tokens):
        end = at + 1
        if tokens[at] in (encoder.fill, encoder.shape.image_token_id):
            while end < len(tokens) and (tokens[end], styles[end]) == (tokens[at], styles[at]):
                end += 1
        shown = encoder.tokenizer.decode([tokens[at]], special=True)
        times = f" x {end - at}" if end - at > 1 else ""
        text.append(printable(shown) + times, styles[at])
        at = end
    return text
