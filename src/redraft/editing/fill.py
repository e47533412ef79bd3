"""Fill: several widths of the holes tried as rows of one batch behind one prefix, and the best of them kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.config import GenerationConfig
from redraft.diffusion import Canvas, DenoisingOptions, DenoisingState, Noise, denoise_step
from redraft.editing.layout import Placed
from redraft.engine.runner import describe_non_finite
from redraft.errors import NonFiniteError
from redraft.model import Cache, DiffusionGemma
from redraft.ops.vocabulary import LogitEdits


@dataclass(frozen=True)
class Candidate:
    """One set of widths and what became of it.

    Attributes:
        widths: tokens that each hole had room for. fills: the text in each hole. steps: denoising steps it took.
        score: log-probability of the canvas as a text, read left to right: nats.
    """

    widths: tuple[int, ...]
    fills: tuple[str, ...]
    steps: int
    score: float


@dataclass(frozen=True)
class Infilled:
    """A filled text.

    Attributes:
        text: all of it; what stood outside the holes is as it was. fills: what stands in the holes.
        candidates: all that were tried, the best first. right_context: how many of the tokens behind the last hole the model
            saw, and how many there are. seed: writes the same again.
    """

    text: str
    fills: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    right_context: tuple[int, int]
    seed: int


@dataclass(frozen=True)
class Filled:
    """Canvases int64 [R, L] that have settled, and the steps each took."""

    tokens: Tensor
    steps: list[int]


def fill(
    network: DiffusionGemma, cache: Cache, placed: Sequence[Placed], config: GenerationConfig, edits: LogitEdits | None
) -> Filled:
    """Denoise one canvas a candidate behind one prefix; rows that are done leave.

    Raises:
        NonFiniteError: entropies are not finite; the message names the weights that hold NaN or infinity.
    """
    assert config.seed is not None
    rows, device = list(range(len(placed))), network.device
    noise = Noise.of([(config.seed, number, 0) for number in rows], device)
    canvas = _canvas(network, placed, noise)
    state = DenoisingState.start(canvas, network.config.hidden_size, network.dtype)
    tokens, steps = canvas.tokens.clone(), [0] * len(rows)
    while rows:
        options = DenoisingOptions.of([config] * len(rows), [edits] * len(rows), device)
        row_noise = Noise(noise.seed[rows], noise.stream[rows], noise.canvas[rows])
        step, state, done = denoise_step(network, state, [cache] * len(rows), options, row_noise)
        if not bool(step.entropy.isfinite().all()):
            raise NonFiniteError(describe_non_finite(network))
        for at, row in enumerate(rows):
            tokens[row], steps[row] = step.argmax_canvas[at], steps[row] + 1
        state = state.rows(~done)
        rows = [row for row, finished in zip(rows, done.tolist(), strict=True) if not finished]
    return Filled(tokens, steps)


def scores(network: DiffusionGemma, cache: Cache, last: Tensor, texts: Sequence[Sequence[int]]) -> list[float]:
    """How likely the model finds each candidate's canvas as a text: log-probability of its tokens, read left to right behind
    the prefix, whose last hidden state is `last` [H].

    The sum, not the mean: all candidates are the same text but for their holes, so their sums compare, and a hole that ends too
    early pays for it where the text goes on. On a canvas a model of uniform noise believes what it reads: all seems likely.
    """
    rows = [torch.tensor(text, device=network.device) for text in texts]
    states = network.encode(rows, [cache.fork() for _ in rows])
    found = []
    for row, hidden in zip(rows, states, strict=True):
        before = torch.cat((last[None], hidden[:-1]))
        likely = network.logits(before).log_softmax(dim=-1).gather(-1, row[:, None])
        found.append(float(likely.sum()))
    return found


def _canvas(network: DiffusionGemma, placed: Sequence[Placed], noise: Noise) -> Canvas:
    tokens = noise.initial(network.config.canvas_length, network.vocab_size)
    frozen = torch.ones_like(tokens, dtype=torch.bool)
    for row, one in enumerate(placed):
        for span in (*one.holes, one.free):
            frozen[row, span.start : span.stop] = False
    given = torch.tensor([one.tokens for one in placed], device=network.device)
    return Canvas(torch.where(frozen, given, tokens), frozen)
