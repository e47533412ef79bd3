"""Logit edits: from the sampling options of a request to changes of its logits."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from redraft.config import GenerationConfig
from redraft.ops.vocabulary import LogitEdits


def logit_edits(
    config: GenerationConfig, context: Iterable[int], device: torch.device
) -> LogitEdits | None:
    """Return what a request changes in its logits behind `context`, its tokens so far.

    None where it changes nothing.
    """
    penalised = config.repetition_penalty != 1.0
    if not config.logit_bias and not penalised and config.top_p == 1.0 and config.min_p == 0.0:
        return None
    bias = config.logit_bias
    return LogitEdits(
        bias_tokens=torch.tensor(list(bias), device=device) if bias else None,
        bias=torch.tensor(list(bias.values()), dtype=torch.float32, device=device)
        if bias
        else None,
        penalised_tokens=torch.tensor(sorted(set(context)), device=device) if penalised else None,
        repetition_penalty=config.repetition_penalty,
        top_p=config.top_p,
        min_p=config.min_p,
    )
