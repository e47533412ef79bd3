"""Two models on the same canvases: how far apart their distributions are, along the first one's own
denoising.

canvas -> the first reads it -> statistics -> the next canvas
      \\-> the second reads it, with the self-conditioning that its own distributions gave -> KL,
      total variation
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from redraft.config import GenerationConfig
from redraft.diffusion import Canvas, DenoisingOptions, DenoisingState, Noise, denoise_step
from redraft.engine import Request
from redraft.engine.broken_weights import describe_non_finite
from redraft.engine.logit_edits import logit_edits
from redraft.errors import NonFiniteError
from redraft.network import DiffusionGemma
from redraft.ops.vocabulary import Readout, VocabularyStatistics, read_vocabulary

BLOCK_ELEMENTS = 1 << 24  # probabilities of each model that exist at a time, at most
TAIL = 0.99


@dataclass(frozen=True)
class Walk:
    """A request's first canvas, step by step. kl, variation: float32 [S, L]. free: bool [L],
    positions that were not given.
    written: bool [L], those of them that belong to the text the first model wrote."""

    kl: Tensor
    variation: Tensor
    free: Tensor
    written: Tensor


@dataclass(frozen=True)
class Distance:
    """Of all free positions of one step (0: of all steps): KL in nats, its mean and 99th
    percentile, the mean where the text is, and mean total variation. `canvases` still took that
    step."""

    step: int
    canvases: int
    kl: float
    kl_99: float
    kl_written: float
    variation: float


class Pair:
    """Two models as one Denoiser, which says what the first says; caches are pairs of theirs.

    Args:
        same_signal: the second hears the first's self-conditioning in place of its own, which
            leaves what one pass does alone.

    Attributes:
        kl, variation: float32 [B, L], of the last pass.
    """

    def __init__(
        self, first: DiffusionGemma, second: DiffusionGemma, same_signal: bool = False
    ) -> None:
        self.first, self.second, self.same_signal = first, second, same_signal
        self.signal: Tensor | None = None
        self.kl = self.variation = torch.empty(0)

    @property
    def vocab_size(self) -> int:
        return self.first.vocab_size

    def embed(self, tokens: Tensor) -> Tensor:
        return self.first.embed(tokens)

    def denoise(
        self, canvas: Tensor, caches: Sequence[Any], self_conditioning: Tensor, readout: Readout
    ) -> VocabularyStatistics:
        """What the first model says of the canvases; both are compared on the way."""
        ours, theirs = zip(*caches, strict=True)
        if self.same_signal:
            self.signal = self_conditioning.to(self.second.dtype)
        elif self.signal is None:
            shape = *canvas.shape, self.second.config.hidden_size
            self.signal = torch.zeros(shape, dtype=self.second.dtype, device=canvas.device)
        states = (
            self.first.canvas_states(canvas, ours, self_conditioning),
            self.second.canvas_states(canvas, theirs, self.signal),
        )
        temperature = readout.temperature.repeat_interleave(canvas.shape[1])
        flat = (states[0].flatten(0, 1), states[1].flatten(0, 1))
        self.kl, self.variation = (
            found.view(canvas.shape)
            for found in distances(self.first, self.second, flat, temperature)
        )
        heard = _statistics(self.second, states[1], readout)
        assert readout.wanted is not None
        self.signal = torch.where(
            readout.wanted.unsqueeze(-1), heard.soft_embedding, self.second.embed(canvas)
        )
        return _statistics(self.first, states[0], readout)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows of the last pass, int64 [n]."""
        if self.signal is not None:
            self.signal = self.signal[rows]


def _statistics(model: DiffusionGemma, states: Tensor, readout: Readout) -> VocabularyStatistics:
    found = read_vocabulary(
        states,
        model.embed_tokens.weight,
        model.config.final_logit_softcapping,
        model.embedding_scale,
        readout,
    )
    if not bool(found.entropy.isfinite().all()):
        raise NonFiniteError(describe_non_finite(model))
    return found


def distances(
    first: DiffusionGemma,
    second: DiffusionGemma,
    states: tuple[Tensor, Tensor],
    temperature: Tensor,
) -> tuple[Tensor, Tensor]:
    """KL(first || second) in nats and total variation, float32 [N], of hidden states [N, H] of
    each, at temperatures [N].

    Block by block, so that never more than BLOCK_ELEMENTS probabilities of each exist; before bias,
    penalty and filters.
    """
    size = max(1, BLOCK_ELEMENTS // first.vocab_size)
    kl, variation = [], []
    for ours, theirs, heat in zip(
        states[0].split(size), states[1].split(size), temperature.split(size), strict=True
    ):
        p = (first.logits(ours) / heat.unsqueeze(-1)).log_softmax(-1)
        q = (second.logits(theirs) / heat.unsqueeze(-1)).log_softmax(-1)
        gap, probs = p - q, p.exp()
        # In float32 the sum may fall below the zero that it stands for by its rounding.
        kl.append(gap.mul_(probs).sum(-1, dtype=torch.float64).clamp_min(0.0).float())
        variation.append(probs.sub_(q.exp_()).abs_().sum(-1) / 2)
    return torch.cat(kl), torch.cat(variation)


@torch.inference_mode()
def walk(
    first: DiffusionGemma,
    second: DiffusionGemma,
    requests: Sequence[Request],
    *,
    batch_size: int = 8,
    same_signal: bool = False,
    progress: Callable[[], object] | None = None,
) -> list[Walk]:
    """Denoise each request's first canvas as the first model does. `progress` is called after
    each."""
    walks: list[Walk] = []
    for start in range(0, len(requests), batch_size):
        walks += _batch(Pair(first, second, same_signal), requests[start : start + batch_size])
        for _ in requests[start : start + batch_size]:
            if progress:
                progress()
    return walks


def _batch(pair: Pair, requests: Sequence[Request]) -> list[Walk]:
    """Some walks side by side; whoever is done leaves."""
    device, length = pair.first.device, pair.first.config.canvas_length
    noise = Noise.of([(request.seed, request.stream, 0) for request in requests], device)
    canvas = _canvas(noise.initial(length, pair.vocab_size), requests)
    state = DenoisingState.start(canvas, pair.first.config.hidden_size, pair.first.dtype)
    caches = [(_read(pair.first, request), _read(pair.second, request)) for request in requests]
    walks = [
        _Begun(request, row) for request, row in zip(requests, (~canvas.frozen).cpu(), strict=True)
    ]
    running = list(range(len(requests)))
    while running:
        asked = [requests[number] for number in running]
        edits = [logit_edits(request.config, request.prompt, device) for request in asked]
        options = DenoisingOptions.of([request.config for request in asked], edits, device)
        result, state, done = denoise_step(
            pair, state, [caches[number] for number in running], options, noise
        )
        for row, number in enumerate(running):
            walks[number].take(pair.kl[row], pair.variation[row], result.argmax_canvas[row])
        left = (~done).nonzero().squeeze(-1)
        running = [running[row] for row in left.tolist()]
        state, noise = (
            state.rows(left),
            Noise(noise.seed[left], noise.stream[left], noise.canvas[left]),
        )
        pair.keep(left)
    return [one.ended() for one in walks]


@dataclass
class _Begun:
    """A walk under way."""

    request: Request
    free: Tensor
    kl: list[Tensor] = field(default_factory=list)
    variation: list[Tensor] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)

    def take(self, kl: Tensor, variation: Tensor, tokens: Tensor) -> None:
        """One step's distances [L], and the tokens that would be committed."""
        self.kl.append(kl.cpu())
        self.variation.append(variation.cpu())
        self.tokens = tokens.tolist()

    def ended(self) -> Walk:
        inside = torch.arange(len(self.tokens)) < text_end(self.tokens, self.request.config)
        return Walk(
            torch.stack(self.kl), torch.stack(self.variation), self.free, self.free & inside
        )


def _read(model: DiffusionGemma, request: Request) -> Any:
    """A cache that holds the prompt."""
    cache = model.new_cache(len(request.prompt))
    model.encode_prompt(request.prompt, cache)
    return cache


def _canvas(tokens: Tensor, requests: Sequence[Request]) -> Canvas:
    """The canvases that requests begin with: noise, and what is given."""
    frozen = torch.zeros_like(tokens, dtype=torch.bool)
    for row, request in enumerate(requests):
        for at, token in request.frozen.items():
            tokens[row, at], frozen[row, at] = token, True
    return Canvas(tokens, frozen)


def text_end(tokens: Sequence[int], config: GenerationConfig) -> int:
    """How many of a first canvas's tokens belong to the text, its end included."""
    end = next(
        (at + 1 for at, token in enumerate(tokens) if token in config.eos_token_id), len(tokens)
    )
    return min(end, config.max_new_tokens)


def by_step(walks: Sequence[Walk]) -> list[Distance]:
    """One row a step, for as long as a canvas took one."""
    last = max(len(one.kl) for one in walks)
    return [
        _distance(step, [one for one in walks if len(one.kl) >= step], step - 1)
        for step in range(1, last + 1)
    ]


def of_all_steps(walks: Sequence[Walk]) -> Distance:
    """Every free position of every step, each counted once."""
    return _distance(0, walks, slice(None))


def _distance(step: int, walks: Sequence[Walk], at: int | slice) -> Distance:
    kl = torch.cat([one.kl[at][..., one.free].flatten() for one in walks]).double()
    written = torch.cat([one.kl[at][..., one.written].flatten() for one in walks]).double()
    variation = torch.cat([one.variation[at][..., one.free].flatten() for one in walks]).double()
    if not len(kl):
        return Distance(
            step=step, canvases=len(walks), kl=0.0, kl_99=0.0, kl_written=0.0, variation=0.0
        )
    rank = max(1, -int(-TAIL * len(kl) // 1))
    return Distance(
        step=step,
        canvases=len(walks),
        kl=float(kl.mean()),
        kl_99=float(kl.kthvalue(rank).values),
        kl_written=float(written.mean()) if len(written) else 0.0,
        variation=float(variation.mean()),
    )
