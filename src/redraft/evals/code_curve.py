"""The progress of a code model while it trains: held-out holes in two forward passes each.

It is cheaper than infilling, for there is no search. Each hole has its true width. It is denoised
once from noise, and read once autoregressively behind the true text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from redraft.diffusion.corruption import corrupt
from redraft.evals.infill_problems import InfillProblem
from redraft.network import DiffusionGemma
from redraft.tasks.code.holes import LINE, CodeExample
from redraft.train.batch import Batch, batch_of
from redraft.train.code_encoder import encode_within
from redraft.train.example_encoder import ExampleEncoder
from redraft.train.forward import ForwardPasses
from redraft.train.loss import answer_states

# Holes in a forward pass.
BATCH_SIZE = 16
# Nats and exactness (0 or 1) of a hole.
Score = tuple[float, float]


@dataclass(frozen=True)
class HoleFigures:
    """The figures of one group of holes.

    Attributes:
        nats: the mean cross-entropy of the tokens in holes, after one denoising step from noise.
        exact: the share of holes of which every token is the likeliest one.
        autoregressive_nats, autoregressive_exact: the same, read left to right.
    """

    group: str
    count: int
    nats: float
    exact: float
    autoregressive_nats: float
    autoregressive_exact: float


@dataclass(frozen=True)
class _HoleScore:
    """The scores of one hole with `tokens` tokens."""

    tokens: int
    denoised: Score
    read: Score


def example_of(problem: InfillProblem) -> CodeExample:
    """Return a problem with one hole as an example of a text that ends."""
    before, behind = problem.template.texts
    (truth,) = problem.truth
    cut = before.rfind("\n") + 1
    hole = (len(before) - cut, len(before) - cut + len(truth))
    return CodeExample(before[:cut], before[cut:] + truth + behind, LINE, (hole,), ends=False)


@torch.inference_mode()
def hole_figures(
    network: DiffusionGemma, encoder: ExampleEncoder, problems: Sequence[InfillProblem]
) -> list[HoleFigures]:
    """Return the figures of each group of problems."""
    groups: dict[str, list[_HoleScore]] = {}
    passes = ForwardPasses(network)
    for first in range(0, len(problems), BATCH_SIZE):
        part = problems[first : first + BATCH_SIZE]
        limit = encoder.prefix_length - 1
        rows = [encode_within(example_of(problem), encoder, limit) for problem in part]
        batch = batch_of(rows, encoder)
        hole = ~torch.tensor([_padded(row.frozen, encoder.canvas_length) for row in rows])
        denoised, read = _denoised(passes, batch, hole, first), _read(passes, batch, hole)
        for number, problem in enumerate(part):
            score = _HoleScore(int(hole[number].sum()), denoised[number], read[number])
            groups.setdefault(problem.group, []).append(score)
    return [_figures(group, scores) for group, scores in groups.items()]


def _figures(group: str, scores: Sequence[_HoleScore]) -> HoleFigures:
    count, tokens = len(scores), sum(score.tokens for score in scores)
    nats, exact = _sums([score.denoised for score in scores])
    read_nats, read_exact = _sums([score.read for score in scores])
    return HoleFigures(
        group, count, nats / tokens, exact / count, read_nats / tokens, read_exact / count
    )


def _sums(scores: Sequence[Score]) -> Score:
    return sum(nats for nats, _ in scores), sum(exact for _, exact in scores)


def _padded(frozen: list[bool], length: int) -> list[bool]:
    return frozen + [True] * (length - len(frozen))


def _denoised(passes: ForwardPasses, batch: Batch, hole: Tensor, seed: int) -> list[Score]:
    """Return the score of each row's hole after one forward pass over noise."""
    network = passes.network
    generator = torch.Generator().manual_seed(seed)
    noise = corrupt(batch.target, torch.ones(len(batch.target)), network.vocab_size, generator)
    noisy = torch.where(hole, noise, batch.target)
    _, past = passes.encode(batch.prefix)
    signal = torch.zeros(*noisy.shape, network.config.hidden_size)
    states = passes.canvas_states(noisy, signal, past, batch.prefix_lengths)
    return _scores(network, states, batch.target, hole)


def _read(passes: ForwardPasses, batch: Batch, hole: Tensor) -> list[Score]:
    """Return the score of each row's hole, read left to right.

    Holes have no padding here, so they are at the same positions as on the canvas.
    """
    states, past = passes.encode(batch.prefix)
    after = answer_states(passes, batch, states, past)
    return _scores(passes.network, after, batch.answer, hole)


def _scores(network: DiffusionGemma, states: Tensor, target: Tensor, hole: Tensor) -> list[Score]:
    scores = []
    for row in range(len(target)):
        logits = network.logits(states[row][hole[row]])
        tokens = target[row][hole[row]]
        nats = F.cross_entropy(logits, tokens, reduction="sum")
        scores.append((float(nats), float((logits.argmax(-1) == tokens).all())))
    return scores
