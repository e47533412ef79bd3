"""A step of autoregressive decoding as one CUDA graph: one token a row in, the next ones out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from redraft.diffusion import Noise
from redraft.engine.broken_weights import describe_non_finite
from redraft.engine.row import Drawn, NextToken, Part, Row
from redraft.engine.sampling import draw
from redraft.errors import NonFiniteError
from redraft.network import DiffusionGemma
from redraft.network.recorded_pass import RecordedPass
from redraft.network.segments import Clean
from redraft.ops.philox import WORD

# Numbers of a row: its token, its noise (two words of the seed, stream, canvas), the number of the
# draw, and the bits of the temperature.
TOKEN, LOW, HIGH, STREAM, CANVAS, STEP, TEMPERATURE = range(7)


def record_tokens(model: DiffusionGemma, parts: Sequence[tuple[Row, Part]]) -> list[Drawn] | None:
    """Encode one token of each row and draw the next, in one CUDA graph.

    Returns:
        One result a row; None where no graph can hold the pass, and nothing was done.

    Raises:
        NonFiniteError: logits are NaN; the message names the weights that hold such numbers.
    """
    if not model.records_passes:
        return None
    readouts = [one for _, part in parts if (one := _plain(part)) is not None]
    if len(readouts) < len(parts):
        return None
    table = _table(parts, readouts).to(model.device)
    clean = Clean(list(table[:, TOKEN].split(1)), [row.begin() for row, _ in parts])
    found = model.record("token", _next, (table,), (), None, clean)
    if found is None:
        return None
    tokens, broken, states = found
    *drawn, wrong = torch.cat((tokens, broken)).tolist()
    if wrong:
        raise NonFiniteError(describe_non_finite(model))
    return [Drawn(token, state) for token, state in zip(drawn, states, strict=True)]


def _plain(part: Part) -> NextToken | None:
    """Return the readout of a part that such a graph can hold: one token, nothing but the draw."""
    readout = part.readout
    if len(part.tokens) != 1 or part.batch_invariant or not part.keep:
        return None
    if not isinstance(readout, NextToken):
        return None
    return None if readout.edits is not None or readout.allowed is not None else readout


def _table(parts: Sequence[tuple[Row, Part]], readouts: Sequence[NextToken]) -> Tensor:
    """Return the numbers of each row, int64 [B, 7]."""
    table = np.empty((len(parts), 7), dtype=np.int64)
    for numbers, (_, part), one in zip(table, parts, readouts, strict=True):
        seed, stream, canvas = one.noise_row
        numbers[:TEMPERATURE] = (
            part.tokens[0], seed & WORD, seed >> 32 & WORD, stream, canvas, one.step,
        )  # fmt: skip
        numbers[TEMPERATURE] = np.float64(one.config.temperature).view(np.int64)
    return torch.from_numpy(table)


def _next(network: RecordedPass, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the next tokens int64 [B], 1 in [1] where logits are NaN, and the states [B, H]."""
    states = network.encode()
    logits = network.logits(states)
    seed = table[:, LOW] | table[:, HIGH] << 32
    noise = Noise(seed, table[:, STREAM], table[:, CANVAS])
    temperature = table[:, TEMPERATURE].contiguous().view(torch.float64).float()
    broken = logits.isnan().any().long().view(1)
    tokens = draw(logits, noise, table[:, STEP], temperature, [None] * len(table))
    return tokens, broken, states
