"""Encoded examples as the tensors of a batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from redraft.errors import ConfigError
from redraft.network.segments import Images, ImageSpan
from redraft.tasks.code.holes import CodeExample
from redraft.tasks.task import Example
from redraft.train.code_encoder import encode_code
from redraft.train.example_encoder import EncodedExample, ExampleEncoder

# All positions behind the end of the turn weigh as much as so many tokens, at most.
MAX_TAIL_WEIGHT = 4


@dataclass(frozen=True)
class Batch:
    """The tensors of B examples: prefixes of P tokens, canvases of L tokens.

    Attributes:
        prefix: int64 [B, P], padded at the end. prefix_lengths: int64 [B].
        target: int64 [B, L], the right canvas, EOS behind the end of the turn.
        frozen: bool [B, L], positions that are given.
        weight: float32 [B, L], the weight of each position in the loss: 0 if it is frozen, 1 in
            the answer, little behind it.
        answer: int64 [B, L], the answer for the autoregressive loss.
        answer_lengths: int64 [B], its tokens up to and with the end of the turn.
        images: of each prefix; their soft tokens are the embeddings of the tokens in their places.
    """

    prefix: Tensor
    prefix_lengths: Tensor
    target: Tensor
    frozen: Tensor
    weight: Tensor
    answer: Tensor
    answer_lengths: Tensor
    images: Images = ()

    def part(self, number: int, count: int) -> Batch:
        """Return every `count`-th row, from row `number` on."""
        return Batch(*(getattr(self, field.name)[number::count] for field in fields(self)))


def make_batch(examples: Sequence[Example], encoder: ExampleEncoder, rng: random.Random) -> Batch:
    """Encode examples and return their batch.

    Raises:
        ConfigError: a prompt or an answer is too long for the encoder's lengths.
    """
    encoded = [
        encode_code(example, encoder, rng)
        if isinstance(example, CodeExample)
        else encoder.encode(example, rng)
        for example in examples
    ]
    return batch_of(encoded, encoder)


def batch_of(examples: Sequence[EncodedExample], encoder: ExampleEncoder) -> Batch:
    """Return the batch of encoded examples.

    Raises:
        ConfigError: a prompt or an answer is too long for the encoder's lengths.
    """
    length, prefix_length = encoder.canvas_length, encoder.prefix_length
    longest_prefix = max(len(one.prefix) for one in examples)
    longest_canvas = max(len(one.canvas) for one in examples)
    if longest_prefix > prefix_length or longest_canvas > length:
        raise ConfigError(
            f"an example has a prompt of {longest_prefix} tokens and an answer of "
            f"{longest_canvas}, the limits are {prefix_length} and {length}: raise prefix_length "
            "or canvas_length"
        )

    def padded(rows: list[list[int]], width: int, token: int) -> Tensor:
        return torch.tensor([row + [token] * (width - len(row)) for row in rows])

    frozen = [one.frozen + [one.closed] * (length - len(one.frozen)) for one in examples]
    return Batch(
        prefix=padded([one.prefix for one in examples], prefix_length, encoder.pad),
        prefix_lengths=torch.tensor([len(one.prefix) for one in examples]),
        target=padded([one.canvas for one in examples], length, encoder.eos),
        frozen=torch.tensor(frozen),
        weight=torch.tensor([position_weights(one, length) for one in examples]),
        answer=padded([one.answer for one in examples], length, encoder.eos),
        answer_lengths=torch.tensor([len(one.answer) for one in examples]),
        images=[[ImageSpan(*one.picture)] if one.picture else [] for one in examples],
    )


def position_weights(example: EncodedExample, length: int) -> list[float]:
    """Return the weight of each of `length` positions of a canvas in the loss."""
    behind = length - len(example.canvas)
    tail = 0.0 if example.closed else min(1.0, MAX_TAIL_WEIGHT / max(1, behind))
    return [0.0 if known else 1.0 for known in example.frozen] + [tail] * behind
