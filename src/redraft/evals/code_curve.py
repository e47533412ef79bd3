"""How a code model learns: what one reading says of held-out holes, while it trains.

Cheaper than filling in (two forward passes for all holes, no search): each hole at its true width,
all of it noise, and the same text left to right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.diffusion.corruption import corrupt
from redraft.evals.problems import Problem
from redraft.network import DiffusionGemma
from redraft.tasks.code.holes import LINE, CodeExample
from redraft.train.batch import Batch, Layout, batch_of
from redraft.train.code_rows import laid_out
from redraft.train.forward import ForwardPasses
from redraft.train.loss import answer_states

SIZE = 16  # holes in a forward pass


@dataclass(frozen=True)
class Reading:
    """Figures of one group. nats: mean cross-entropy of the tokens in holes. exact: share of the
    holes of which every token is the likeliest. Each for one denoising pass over a hole of noise,
    and for the same hole read left to right behind the true text."""

    group: str
    count: int
    nats: float
    exact: float
    autoregressive_nats: float
    autoregressive_exact: float


def example_of(problem: Problem) -> CodeExample:
    """Return a problem with one hole as an example of a text that ends."""
    before, behind = problem.template.texts
    (truth,) = problem.truth
    cut = before.rfind("\n") + 1
    hole = (len(before) - cut, len(before) - cut + len(truth))
    return CodeExample(before[:cut], before[cut:] + truth + behind, LINE, (hole,), ends=False)


@torch.inference_mode()
def readings(model: DiffusionGemma, layout: Layout, problems: Sequence[Problem]) -> list[Reading]:
    """Return the figures of each group of problems."""
    found: dict[str, list[tuple[float, float, float, float, int]]] = {}
    passes = ForwardPasses(model)
    for first in range(0, len(problems), SIZE):
        part = problems[first : first + SIZE]
        rows = [laid_out(example_of(one), layout, layout.prefix_length - 1) for one in part]
        batch = batch_of(rows, layout)
        hole = torch.tensor([_open(row.given, layout.canvas_length) for row in rows])
        both = [_denoised(passes, batch, hole, first), _read(passes, batch, hole)]
        for number, problem in enumerate(part):
            (nats, exact), (other, other_exact) = (pair[number] for pair in both)
            row = (nats, exact, other, other_exact, int(hole[number].sum()))
            found.setdefault(problem.group, []).append(row)
    result = []
    for group, figures in found.items():
        tokens = sum(row[4] for row in figures)
        nats, exact, other, other_exact = (sum(row[at] for row in figures) for at in range(4))
        size = len(figures)
        result.append(
            Reading(group, size, nats / tokens, exact / size, other / tokens, other_exact / size)
        )
    return result


def _open(given: list[bool], length: int) -> list[bool]:
    return [not known for known in given] + [False] * (length - len(given))


def _denoised(
    passes: ForwardPasses, batch: Batch, hole: Tensor, seed: int
) -> list[tuple[float, float]]:
    """Return nats and exactness of each row's hole after one pass over noise."""
    model = passes.network
    generator = torch.Generator().manual_seed(seed)
    noise = corrupt(batch.target, torch.ones(len(batch.target)), model.vocab_size, generator)
    noisy = torch.where(hole, noise, batch.target)
    _, past = passes.encode(batch.prefix)
    signal = torch.zeros(*noisy.shape, model.config.hidden_size)
    states = passes.canvas_states(noisy, signal, past, batch.prefix_lengths)
    return _figures(model, states, batch.target, hole)


def _read(passes: ForwardPasses, batch: Batch, hole: Tensor) -> list[tuple[float, float]]:
    """Return the same for the answer read left to right: holes without padding lie alike."""
    states, past = passes.encode(batch.prefix)
    after = answer_states(passes, batch, states, past)
    return _figures(passes.network, after, batch.answer, hole)


def _figures(
    model: DiffusionGemma, states: Tensor, target: Tensor, hole: Tensor
) -> list[tuple[float, float]]:
    found = []
    for row in range(len(target)):
        logits = model.logits(states[row][hole[row]])
        wanted = target[row][hole[row]]
        nats = torch.nn.functional.cross_entropy(logits, wanted, reduction="sum")
        found.append((float(nats), float((logits.argmax(-1) == wanted).all())))
    return found
