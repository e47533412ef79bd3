"""The typewriter: the same weights read left to right, one token a pass, for comparison with
diffusion.

The encoder with the tied head is an autoregressive model. Sampling options mean what they mean on a
canvas, but for
`temperature`, which is the temperature itself here: there is no schedule. The draw of token i uses
the noise of step i + 1, position 0 of canvas 0, so a row does not depend on its batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from redraft.diffusion import Noise
from redraft.engine.logit_edits import logit_edits
from redraft.engine.output import Writing
from redraft.engine.request import Request
from redraft.engine.runner import describe_non_finite
from redraft.errors import NonFiniteError
from redraft.events import Committed, Event
from redraft.grammar import Guide
from redraft.network import PREFILL_CHUNK, DiffusionGemma
from redraft.ops.vocabulary import Readout, inverse_cdf, tempered_logits
from redraft.text import Tokenizer


class _Row:
    """One text being typed: its writing, its cache, and the last hidden state [H], from which the
    next token comes."""

    def __init__(self, number: int, request: Request, tokenizer: Tokenizer | None) -> None:
        self.request = request
        self.writing = Writing(number, request, tokenizer)
        dfa = request.dfa
        self.guide = Guide(dfa, request.config.max_new_tokens) if dfa else None

    def read_prompt(self, model: DiffusionGemma) -> None:
        """Encode the prompt in chunks; the last chunk's pass is the one that gives the first
        token."""
        self.cache = model.new_cache(len(self.request.prompt) + self.request.config.max_new_tokens)
        self.state = model.read(self.request.prompt, self.cache)
        self.writing.encoder_passes = (len(self.request.prompt) - 1) // PREFILL_CHUNK


def typewrite(
    model: DiffusionGemma,
    requests: Sequence[Request],
    tokenizer: Tokenizer | None = None,
    *,
    max_batch_size: int = 8,
) -> Iterator[Event]:
    """Write requests in one batch of at most `max_batch_size` rows; as rows leave, others enter.

    Yields:
        Committed for each token, Finished for each request.
    """
    waiting = deque(_Row(number, request, tokenizer) for number, request in enumerate(requests))
    rows: list[_Row] = []
    while waiting or rows:
        # Inference mode must not stay on while the caller has the floor between two tokens.
        with torch.inference_mode():
            if rows:
                pending = [
                    torch.tensor(row.writing.tokens[-1:], device=model.device) for row in rows
                ]
                for row, states in zip(
                    rows,
                    model.encode(pending, [row.cache for row in rows], alike=False),
                    strict=True,
                ):
                    row.state = states[-1]
            while waiting and len(rows) < max_batch_size:
                rows.append(waiting.popleft())
                rows[-1].read_prompt(model)
            hidden = torch.stack([row.state for row in rows])
            tokens = _next_tokens(model, hidden, rows).tolist()
        for row, token in zip(rows, tokens, strict=True):
            if row.guide is not None:
                row.guide.advance([token])
            added, text = row.writing.commit([token], 1)
            index = len(row.writing.steps_per_canvas) - 1
            yield Committed(
                request=row.writing.number, canvas=index, steps=1, tokens=tuple(added), text=text
            )
            if row.writing.reason is not None:
                yield row.writing.finished()
        rows = [row for row in rows if row.writing.reason is None]


def _next_tokens(model: DiffusionGemma, hidden: Tensor, rows: Sequence[_Row]) -> Tensor:
    """One token a row, int64 [B], from the last hidden states [B, H]."""
    writings = [row.writing for row in rows]
    noise = Noise.of(
        [(writing.request.seed, writing.request.stream, 0) for writing in writings], model.device
    )
    step = torch.tensor([len(writing.tokens) + 1 for writing in writings], device=model.device)
    temperature = torch.tensor(
        [writing.config.temperature for writing in writings], device=model.device
    )
    greedy = temperature == 0
    readout = Readout(
        temperature=temperature.masked_fill(greedy, 1.0),
        uniform=noise.at(step, 1, model.vocab_size)[0],
        greedy=greedy,
        edits=[logit_edits(writing.config, writing.context, model.device) for writing in writings],
    )
    owners = torch.arange(len(writings), device=model.device)
    logits = tempered_logits(model.logits(hidden), owners, readout)
    if bool(logits.isnan().any()):
        raise NonFiniteError(describe_non_finite(model))
    for row, mine in zip(rows, logits, strict=True):
        if row.guide is not None:
            mine[torch.from_numpy(~row.guide.allowed()).to(model.device)] = -torch.inf
    return torch.where(
        greedy, logits.argmax(-1), inverse_cdf(logits.softmax(-1), readout.uniform[:, 0])
    )
