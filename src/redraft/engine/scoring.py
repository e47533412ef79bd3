"""Likelihood: how likely each token of a text is behind those before it, read left to right at
temperature 1.

A canvas has no such numbers of its own: its tokens were written all at once, each at a temperature
that fell. This is what the same weights say of the finished text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.engine.prefix_cache import PrefixCache
from redraft.engine.runner import describe_non_finite
from redraft.errors import NonFiniteError
from redraft.network import PREFILL_CHUNK, DiffusionGemma

BLOCK_ELEMENTS = 1 << 24  # logits that exist at a time, at most


@dataclass(frozen=True)
class TokenLikelihood:
    """A token's log-probability in nats, and the likeliest tokens in its place with theirs."""

    token: int
    log_probability: float
    likeliest: tuple[tuple[int, float], ...]


def likelihoods(
    prefixes: PrefixCache, prompt: Sequence[int], tokens: Sequence[int], most: int
) -> Iterator[list[TokenLikelihood]]:
    """Each of `tokens` behind `prompt` (at least one token), and the `most` likeliest in its place:
    some after each pass.

    Raises:
        NonFiniteError: broken weights.
    """
    model = prefixes.model
    before, read = prompt[:-1], [prompt[-1], *tokens[:-1]] if tokens else []
    cache = prefixes.begin(before, len(before) + len(read))
    for part in _parts(before[cache.length :], PREFILL_CHUNK):
        with torch.inference_mode():
            model.prefill([torch.tensor(part, device=model.device)], [cache])
        yield []
    size = max(1, BLOCK_ELEMENTS // model.vocab_size)
    for part, told in zip(_parts(read, size), _parts(tokens, size), strict=True):
        with torch.inference_mode():
            states = model.encode([torch.tensor(part, device=model.device)], [cache])[0]
            found = _of(model, states, told, min(most, model.vocab_size))
        yield found


def _parts(tokens: Sequence[int], size: int) -> list[Sequence[int]]:
    return [tokens[first : first + size] for first in range(0, len(tokens), size)]


def _of(
    model: DiffusionGemma, states: Tensor, tokens: Sequence[int], most: int
) -> list[TokenLikelihood]:
    """Of the tokens behind states [n, H]."""
    found = model.logits(states).log_softmax(-1)  # [n, V]
    if bool(found.isnan().any()):
        raise NonFiniteError(describe_non_finite(model))
    own = found.gather(-1, torch.tensor(tokens, device=found.device)[:, None])[:, 0].tolist()
    top = found.topk(most, dim=-1)
    likeliest = (
        tuple(zip(*row, strict=True))
        for row in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    )
    return [TokenLikelihood(*one) for one in zip(tokens, own, likeliest, strict=True)]
