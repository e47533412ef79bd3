"""Two networks on the same canvases: how far apart their distributions are.

The canvases are those of the first network's own denoising:

    canvas -> first network -> statistics -> the next canvas
          \\-> second network, with the self-conditioning of its own distributions -> KL, variation
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from redraft.config import GenerationConfig
from redraft.diffusion import Canvas, DenoisingOptions, DenoisingState, Noise, denoise
from redraft.engine import Request
from redraft.engine.broken_weights import describe_non_finite
from redraft.engine.logit_edits import logit_edits
from redraft.errors import NonFiniteError
from redraft.network import Cache, DiffusionGemma
from redraft.ops.vocabulary import MAX_LOGITS, Readout, VocabularyStatistics, read_vocabulary

# The KL of the worst positions is reported at this quantile.
HIGH_QUANTILE = 0.99
CachePair = tuple[Cache, Cache]


@dataclass(frozen=True)
class CanvasDivergence:
    """The divergence on a request's first canvas, step by step.

    Attributes:
        kl, variation: float32 [S, L], of S steps.
        free: bool [L], positions that are not frozen.
        written: bool [L], free positions that belong to the text of the first network.
    """

    kl: Tensor
    variation: Tensor
    free: Tensor
    written: Tensor


@dataclass(frozen=True)
class Divergence:
    """The divergence over all free positions of one step.

    Attributes:
        step: the step, from 1; 0 for all steps together.
        canvases: those that still took the step.
        kl: the mean KL divergence in nats. kl_99: its 99th percentile.
        kl_written: the mean over positions that belong to the text.
        variation: the mean total variation.
    """

    step: int
    canvases: int
    kl: float
    kl_99: float
    kl_written: float
    variation: float


class PairedDenoiser:
    """Two networks as one Denoiser, which returns the statistics of the first.

    Args:
        same_signal: the second network gets the first one's self-conditioning, not its own. This
            measures a single forward pass, without what adds up over the steps.

    Attributes:
        kl, variation: float32 [B, L], of the last forward pass.
    """

    def __init__(
        self, first: DiffusionGemma, second: DiffusionGemma, same_signal: bool = False
    ) -> None:
        self.first, self.second, self.same_signal = first, second, same_signal
        self._signal: Tensor | None = None
        self.kl = self.variation = torch.empty(0)

    @property
    def vocab_size(self) -> int:
        return self.first.vocab_size

    def embed(self, tokens: Tensor) -> Tensor:
        return self.first.embed(tokens)

    def denoise(
        self,
        canvas: Tensor,
        caches: Sequence[CachePair],
        self_conditioning: Tensor,
        readout: Readout,
    ) -> VocabularyStatistics:
        """Run both networks on canvases [B, L], compare them, and return the first's statistics."""
        own, other = zip(*caches, strict=True)
        if self.same_signal:
            self._signal = self_conditioning.to(self.second.dtype)
        elif self._signal is None:
            shape = *canvas.shape, self.second.config.hidden_size
            self._signal = torch.zeros(shape, dtype=self.second.dtype, device=canvas.device)
        states = self.first.canvas_states(canvas, own, self_conditioning)
        second_states = self.second.canvas_states(canvas, other, self._signal)
        temperature = readout.temperature.repeat_interleave(canvas.shape[1])
        flat = states.flatten(0, 1), second_states.flatten(0, 1)
        kl, variation = divergences(self.first, self.second, flat, temperature)
        self.kl, self.variation = kl.view(canvas.shape), variation.view(canvas.shape)
        believed = _statistics(self.second, second_states, readout).soft_embedding
        assert readout.wanted is not None
        # As in the loop: a frozen position is its own embedding.
        free = readout.wanted.unsqueeze(-1)
        self._signal = torch.where(free, believed, self.second.embed(canvas))
        return _statistics(self.first, states, readout)


def _statistics(network: DiffusionGemma, states: Tensor, readout: Readout) -> VocabularyStatistics:
    statistics = read_vocabulary(
        states,
        network.embed_tokens.weight,
        network.config.final_logit_softcapping,
        network.embedding_scale,
        readout,
    )
    if not bool(statistics.entropy.isfinite().all()):
        raise NonFiniteError(describe_non_finite(network))
    return statistics


def divergences(
    first: DiffusionGemma,
    second: DiffusionGemma,
    states: tuple[Tensor, Tensor],
    temperature: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return KL(first || second) in nats and the total variation, float32 [N] each.

    Logits are taken before bias, penalty and filters, block by block, so that no more than
    MAX_LOGITS of each network exist at a time.

    Args:
        states: hidden states [N, H] of each network.
        temperature: float32 [N].
    """
    size = max(1, MAX_LOGITS // first.vocab_size)
    blocks = zip(*(part.split(size) for part in (*states, temperature)), strict=True)
    kl, variation = [], []
    for first_states, second_states, heat in blocks:
        p = (first.logits(first_states) / heat.unsqueeze(-1)).log_softmax(-1)
        q = (second.logits(second_states) / heat.unsqueeze(-1)).log_softmax(-1)
        difference, probabilities = p - q, p.exp()
        # Rounding may take the sum below zero, which it cannot be.
        terms = difference.mul_(probabilities)
        kl.append(terms.sum(-1, dtype=torch.float64).clamp_min(0.0).float())
        variation.append(probabilities.sub_(q.exp_()).abs_().sum(-1) / 2)
    return torch.cat(kl), torch.cat(variation)


@torch.inference_mode()
def canvas_divergences(
    first: DiffusionGemma,
    second: DiffusionGemma,
    requests: Sequence[Request],
    *,
    batch_size: int = 8,
    same_signal: bool = False,
    progress: Callable[[], object] | None = None,
) -> list[CanvasDivergence]:
    """Denoise each request's first canvas as the first network does, and compare the second.

    A batch takes as many steps as its slowest row: it is faster if rows of one batch need about the
    same number.

    Args:
        same_signal: see PairedDenoiser.
        progress: called after each request.
    """
    found: list[CanvasDivergence] = []
    for start in range(0, len(requests), batch_size):
        batch = requests[start : start + batch_size]
        found += _denoise_batch(PairedDenoiser(first, second, same_signal), batch)
        for _ in batch:
            if progress:
                progress()
    return found


def _denoise_batch(pair: PairedDenoiser, requests: Sequence[Request]) -> list[CanvasDivergence]:
    device, config = pair.first.device, pair.first.config
    noise = Noise.of([(request.seed, request.stream, 0) for request in requests], device)
    canvas = _first_canvas(noise.initial(config.canvas_length, pair.vocab_size), requests)
    state = DenoisingState.start(canvas, config.hidden_size, pair.first.dtype)
    caches = [
        (_encoded(pair.first, request), _encoded(pair.second, request)) for request in requests
    ]
    edits = [logit_edits(request.config, request.prompt, device) for request in requests]
    options = DenoisingOptions.of([request.config for request in requests], edits, device)
    free = (~canvas.frozen).cpu()
    rows = [_Steps(request, positions) for request, positions in zip(requests, free, strict=True)]
    running = list(enumerate(rows))
    for step, done in denoise(pair, state, caches, options, noise):
        for number, row in running:
            row.add(pair.kl[number], pair.variation[number], step.argmax_canvas[number])
        running = [(number, row) for number, row in running if not done[number]]
    return [row.divergence() for row in rows]


@dataclass
class _Steps:
    """The steps of one row so far.

    Attributes:
        tokens: the argmax canvas of the last step: what would be committed.
    """

    request: Request
    free: Tensor
    kl: list[Tensor] = field(default_factory=list)
    variation: list[Tensor] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)

    def add(self, kl: Tensor, variation: Tensor, tokens: Tensor) -> None:
        """Add a step: tensors [L]."""
        self.kl.append(kl.cpu())
        self.variation.append(variation.cpu())
        self.tokens = tokens.tolist()

    def divergence(self) -> CanvasDivergence:
        inside = torch.arange(len(self.tokens)) < text_end(self.tokens, self.request.config)
        kl, variation = torch.stack(self.kl), torch.stack(self.variation)
        return CanvasDivergence(kl, variation, self.free, self.free & inside)


def _encoded(network: DiffusionGemma, request: Request) -> Cache:
    """Return a cache that holds the prompt."""
    cache = network.new_cache(len(request.prompt))
    network.encode_prompt(request.prompt, cache)
    return cache


def _first_canvas(tokens: Tensor, requests: Sequence[Request]) -> Canvas:
    """Return the canvases that requests begin with: noise [B, L], and their frozen tokens."""
    frozen = torch.zeros_like(tokens, dtype=torch.bool)
    for row, request in enumerate(requests):
        for at, token in request.frozen.items():
            tokens[row, at], frozen[row, at] = token, True
    return Canvas(tokens, frozen)


def text_end(tokens: Sequence[int], config: GenerationConfig) -> int:
    """Return how many tokens of a first canvas belong to the text, the end of turn among them."""
    ends = (at + 1 for at, token in enumerate(tokens) if token in config.eos_token_id)
    return min(next(ends, len(tokens)), config.max_new_tokens)


def divergence_by_step(canvases: Sequence[CanvasDivergence]) -> list[Divergence]:
    """Return one row for each step that a canvas took."""
    rows = []
    for step in range(1, max(len(one.kl) for one in canvases) + 1):
        still = [one for one in canvases if len(one.kl) >= step]
        rows.append(_divergence(step, still, step - 1))
    return rows


def divergence_of_all_steps(canvases: Sequence[CanvasDivergence]) -> Divergence:
    """Return the divergence over every free position of every step, each counted once."""
    return _divergence(0, canvases, slice(None))


def _divergence(step: int, canvases: Sequence[CanvasDivergence], at: int | slice) -> Divergence:
    kl = torch.cat([one.kl[at][..., one.free].flatten() for one in canvases]).double()
    written = torch.cat([one.kl[at][..., one.written].flatten() for one in canvases]).double()
    variation = torch.cat([one.variation[at][..., one.free].flatten() for one in canvases]).double()
    if not len(kl):
        return Divergence(step, len(canvases), kl=0.0, kl_99=0.0, kl_written=0.0, variation=0.0)
    rank = max(1, math.ceil(HIGH_QUANTILE * len(kl)))
    return Divergence(
        step=step,
        canvases=len(canvases),
        kl=float(kl.mean()),
        kl_99=float(kl.kthvalue(rank).values),
        kl_written=float(written.mean()) if len(written) else 0.0,
        variation=float(variation.mean()),
    )
