"""Scoring: log-probabilities of given tokens, read left to right at temperature 1.

A canvas has no such numbers of its own: its tokens were written all at once, each at a temperature
that fell. These are what the same weights say of the finished text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.config import ModelConfig
from redraft.engine.broken_weights import describe_non_finite
from redraft.engine.images import PlacedImage, image_sizes
from redraft.engine.memory_budget import Share
from redraft.engine.row import Part, Scores, TokenScores, tensor_of
from redraft.engine.work import Course, Resources, Work
from redraft.errors import NonFiniteError
from redraft.network import ENCODE_BLOCK, PREFILL_CHUNK, DiffusionGemma
from redraft.ops.batch_invariance import min_rows, pad_rows
from redraft.ops.vocabulary import MAX_LOGITS


@dataclass(frozen=True)
class TokenLikelihood:
    """A token's log-probability in nats, and the likeliest tokens in its place with theirs."""

    token: int
    log_probability: float
    likeliest: tuple[tuple[int, float], ...]


class Scoring(Work):
    """Scores the tokens of a text behind a prompt; completes with a list of TokenLikelihood.

    Args:
        prompt: at least one token. tokens: the text. top: likeliest tokens told in each place.
        images: those in the prompt; its last token is of none.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        tokens: Sequence[int],
        top: int = 0,
        images: Sequence[PlacedImage] = (),
    ) -> None:
        super().__init__()
        self.prompt, self.tokens, self.top = tuple(prompt), tuple(tokens), top
        self.images = tuple(images)

    def share(self, config: ModelConfig) -> Share:
        tokens = len(self.prompt) + len(self.tokens)
        return Share(rows=1, caches=1, tokens=tokens, images=image_sizes(self.images))

    def course(self, resources: Resources) -> Course:
        prompt, text = self.prompt[:-1], self.tokens
        row = resources.row(len(prompt) + len(text), prompt, self.images)
        if prompt:
            row.append(Part(prompt, images=self.images))
        # The state of each token predicts the next: the prompt's last token is read with the text.
        read = (*self.prompt[-1:], *text[:-1])
        size = min(PREFILL_CHUNK, max(1, MAX_LOGITS // resources.config.vocab_size))
        top = min(self.top, resources.config.vocab_size)
        found: list[TokenLikelihood] = []
        for part in _parts(len(prompt), len(text), size, resources.prefill_chunk):
            targets = text[part]
            piece = len(targets) < min(size, len(text))
            row.append(Part(read[part], TokenScores(targets, top=top, piece=piece)))
            yield [row]
            assert isinstance(row.result, Scores)
            found += _likelihoods(targets, row.result)
        self.complete(found)


def _parts(before: int, count: int, size: int, chunk: int) -> Iterator[slice]:
    """Yield the parts of a text that are read in one pass each, so that texts beside it need not
    wait for the whole.

    Where a part is longer than a block, it is cut only where blocks of a pass end: the scores are
    those of parts of `size` to the bit, whatever the chunk.

    Args:
        before: tokens in front of it. size: tokens of a part at most, before it is cut.
        chunk: clean tokens that the engine encodes in a step.
    """
    for first in range(0, count, size):
        stop = min(first + size, count)
        while stop - first > max(chunk, ENCODE_BLOCK):
            longest = before + first + chunk
            edge = longest - longest % ENCODE_BLOCK - before
            if edge <= first:
                edge += ENCODE_BLOCK
            yield slice(first, edge)
            first = edge
        yield slice(first, stop)


def score_tokens(model: DiffusionGemma, states: Tensor, readout: TokenScores) -> Scores:
    """Return the scores of a part's targets from its hidden states [n, H].

    Raises:
        NonFiniteError: they are NaN; the message names the weights that hold such numbers.
    """
    if readout.before is not None:
        states = torch.cat((readout.before[None], states[:-1]))
    block = max(1, MAX_LOGITS // model.vocab_size)
    targets = tensor_of(readout.targets, states.device)
    own, top_tokens, top_values = [], [], []
    for part, target in zip(states.split(block), targets.split(block), strict=True):
        rows = pad_rows(part, min_rows(part)) if readout.piece else part
        log_probabilities = model.logits(rows)[: len(part)].log_softmax(dim=-1)  # [block, V]
        own.append(log_probabilities.gather(-1, target[:, None])[:, 0])
        if readout.top:
            top = log_probabilities.topk(readout.top, dim=-1)
            top_tokens.append(top.indices)
            top_values.append(top.values)
    found = torch.cat(own)
    if bool(found.isnan().any()):
        raise NonFiniteError(describe_non_finite(model))
    none = found.new_zeros(len(found), 0)
    return Scores(
        found,
        torch.cat(top_tokens) if top_tokens else none.long(),
        torch.cat(top_values) if top_values else none,
    )


def _likelihoods(tokens: Sequence[int], scores: Scores) -> list[TokenLikelihood]:
    columns = zip(
        tokens,
        scores.log_probabilities.tolist(),
        scores.top_tokens.tolist(),
        scores.top_log_probabilities.tolist(),
        strict=True,
    )
    return [
        TokenLikelihood(token, own, tuple(zip(likeliest, theirs, strict=True)))
        for token, own, likeliest, theirs in columns
    ]
