"""The typewriter: the same weights read left to right, one token a pass, for comparison with diffusion.

The encoder with the tied head is an autoregressive model. Sampling options mean what they mean on a canvas, but for
`temperature`, which is the temperature itself here: there is no schedule. The draw of token i uses the noise of step i + 1,
position 0 of canvas 0, so a row does not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from redraft.diffusion import Noise
from redraft.engine.edits import logit_edits
from redraft.engine.request import Request
from redraft.engine.runner import describe_non_finite
from redraft.engine.writing import Writing
from redraft.errors import NonFiniteError
from redraft.events import Committed, Event
from redraft.model import DiffusionGemma
from redraft.ops.vocabulary import Readout, inverse_cdf, tempered_logits
from redraft.text import Tokenizer


def typewrite(model: DiffusionGemma, requests: Sequence[Request], tokenizer: Tokenizer | None = None) -> Iterator[Event]:
    """Write all requests in one batch, rows leaving as they finish; Committed for each token, Finished for each request."""
    writings = [Writing(number, request, tokenizer) for number, request in enumerate(requests)]
    caches = [model.new_cache(len(request.prompt) + request.config.max_new_tokens) for request in requests]
    pending = [torch.tensor(request.prompt, device=model.device) for request in requests]
    first = True
    while writings:
        # Inference mode must not stay on while the caller has the floor between two tokens.
        with torch.inference_mode():
            hidden = torch.stack([states[-1] for states in model.encode(pending, caches, alike=first)])
            tokens = _next_tokens(model, hidden, writings).tolist()
        first = False
        for writing, token in zip(writings, tokens, strict=True):
            writing.encoder_passes += not writing.tokens
            writing.draft([token])
            added, text = writing.commit([token], 1)
            index = len(writing.steps_per_canvas) - 1
            yield Committed(request=writing.number, canvas=index, steps=1, tokens=tuple(added), text=text)
            if writing.reason is not None:
                yield writing.finished()
        going = [index for index, writing in enumerate(writings) if writing.reason is None]
        writings, caches = [writings[i] for i in going], [caches[i] for i in going]
        pending = [torch.tensor([tokens[i]], device=model.device) for i in going]


def _next_tokens(model: DiffusionGemma, hidden: Tensor, writings: Sequence[Writing]) -> Tensor:
    """One token a row, int64 [B], from the last hidden states [B, H]."""
    noise = Noise.of([(writing.request.seed, writing.request.stream, 0) for writing in writings], model.device)
    step = torch.tensor([len(writing.tokens) + 1 for writing in writings], device=model.device)
    temperature = torch.tensor([writing.config.temperature for writing in writings], device=model.device)
    greedy = temperature == 0
    readout = Readout(
        temperature=temperature.masked_fill(greedy, 1.0),
        uniform=noise.at(step, 1, model.vocab_size)[0],
        greedy=greedy,
        edits=[logit_edits(writing, model.device) for writing in writings],
    )
    owners = torch.arange(len(writings), device=model.device)
    logits = tempered_logits(model.logits(hidden), owners, readout)
    if bool(logits.isnan().any()):
        raise NonFiniteError(describe_non_finite(model))
    return torch.where(greedy, logits.argmax(-1), inverse_cdf(logits.softmax(-1), readout.uniform[:, 0]))
