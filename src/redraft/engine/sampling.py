"""Sampling left to right: the next token of each row, from its last hidden state.

Options mean what they mean on a canvas, but for `temperature`, which is the temperature itself
here: there is no schedule. The draw of token i uses the noise of step i, position 0 of canvas 0, so
a row does not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from redraft.diffusion import Noise
from redraft.engine.broken_weights import describe_non_finite
from redraft.engine.row import NextToken
from redraft.errors import NonFiniteError
from redraft.network import DiffusionGemma
from redraft.ops.vocabulary import LogitEdits, Readout, inverse_cdf, tempered_logits


def next_tokens(model: DiffusionGemma, hidden: Tensor, rows: Sequence[NextToken]) -> list[int]:
    """Draw one token a row from the last hidden states [B, H].

    Raises:
        NonFiniteError: logits are NaN; the message names the weights that hold such numbers.
    """
    noise = Noise.of([row.noise_row for row in rows], model.device)
    step = torch.tensor([row.step for row in rows], device=model.device)
    temperature = torch.tensor([row.config.temperature for row in rows], device=model.device)
    logits = model.logits(hidden)
    if bool(logits.isnan().any()):
        raise NonFiniteError(describe_non_finite(model))
    # The filters keep tokens of what the constraint leaves.
    for row, mine in zip(rows, logits, strict=True):
        if row.allowed is not None:
            mine[torch.from_numpy(~row.allowed).to(model.device)] = -torch.inf
    found: list[int] = draw(logits, noise, step, temperature, [row.edits for row in rows]).tolist()
    return found


def draw(
    logits: Tensor,
    noise: Noise,
    step: Tensor,
    temperature: Tensor,
    edits: Sequence[LogitEdits | None],
) -> Tensor:
    """Return one token a row, int64 [B], of logits [B, V]; nothing waits for the device.

    Args:
        step: int64 [B], numbers of the draws.
        temperature: float32 [B], 0 for the likeliest token.
    """
    greedy = temperature == 0
    readout = Readout(
        temperature=temperature.masked_fill(greedy, 1.0),
        uniform=noise.at(step, 1, logits.shape[-1])[0],
        greedy=greedy,
        edits=edits,
    )
    owners = torch.arange(len(logits), device=logits.device)
    logits = tempered_logits(logits, owners, readout)
    drawn = inverse_cdf(logits.softmax(-1), readout.uniform[:, 0])
    return torch.where(greedy, logits.argmax(-1), drawn)
