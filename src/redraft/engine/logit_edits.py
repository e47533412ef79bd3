"""Logit edits: from the sampling options of a request to changes of its logits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import torch

from redraft.config import GenerationConfig
from redraft.ops.vocabulary import LogitEdits


def logit_edits(
    config: GenerationConfig,
    context: Iterable[int],
    device: torch.device,
    written: Iterable[int] = (),
) -> LogitEdits | None:
    """Return what a request changes in its logits; None where it changes nothing.

    Args:
        context: the tokens that the repetition penalty counts: prompt and text so far.
        written: the tokens that the other penalties count: the text so far.
    """
    penalised = config.repetition_penalty != 1.0
    bias = _bias(config, written)
    filters = config.top_k > 0 or config.top_p < 1.0 or config.min_p > 0.0
    if not bias and not penalised and not filters:
        return None
    return LogitEdits(
        bias_tokens=torch.tensor(list(bias), device=device) if bias else None,
        bias=torch.tensor(list(bias.values()), dtype=torch.float32, device=device)
        if bias
        else None,
        penalised_tokens=torch.tensor(sorted(set(context)), device=device) if penalised else None,
        repetition_penalty=config.repetition_penalty,
        top_k=config.top_k,
        top_p=config.top_p,
        min_p=config.min_p,
    )


def _bias(config: GenerationConfig, written: Iterable[int]) -> Mapping[int, float]:
    """Return the bias of each token, in nats: its own less the penalties for `written`."""
    if not config.frequency_penalty and not config.presence_penalty:
        return config.logit_bias
    bias = dict(config.logit_bias)
    for token, count in Counter(written).items():
        penalty = config.frequency_penalty * count + config.presence_penalty
        bias[token] = bias.get(token, 0.0) - penalty
    return bias
