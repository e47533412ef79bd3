"""The vocabulary by classes, against a softmax over all of it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from redraft.ops.vocabulary import (
    LogitEdits,
    Picked,
    Readout,
    TokenClasses,
    read_vocabulary,
    softcapped_logits,
)
from redraft.ops.vocabulary.token_classes import PIECE, WIDE

SOFTCAP = 30.0


@dataclass
class Given:
    """A constraint that picks what it was told to, and keeps what it was asked."""

    classes_: TokenClasses
    picked: Picked
    span: slice

    def classes(self, device: torch.device) -> TokenClasses:
        return self.classes_

    def pick(self, mass: Tensor, best: Tensor, uniform: Tensor, wanted: Tensor) -> Picked:
        self.mass, self.best, self.wanted = mass, best, wanted
        return Picked(self.picked.marginals, self.picked.best, self.picked.sample, uniform)


def naive(
    logits: Tensor, classes: Tensor, picked: Picked, uniform: Tensor, embedding: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Argmax, sample, entropy, confidence and mean embedding of the marginals over tokens, [N] and
    [N, H]."""
    marginals = torch.zeros_like(logits)
    argmax, sample = torch.zeros_like(picked.best), torch.zeros_like(picked.best)
    for at, row in enumerate(logits):
        for number in range(picked.marginals.shape[1]):
            members = (classes == number).nonzero().squeeze(-1)
            within = row[members].softmax(-1)
            marginals[at, members] = picked.marginals[at, number].double() * within
            if picked.best[at] == number:
                argmax[at] = members[within.argmax()]
            if picked.sample[at] == number:
                # Runs of the vocabulary that a wide class takes as they lie come first: any order
                # of the members is as good.
                sample[at] = members[0]
    entropy = torch.special.entr(marginals).sum(-1)
    confidence = marginals.gather(1, argmax[:, None]).squeeze(1)
    return argmax, sample, entropy, confidence, marginals @ embedding.double()


def some_classes(generator: torch.Generator, size: int, count: int) -> Tensor:
    """One class that is most of the vocabulary, a scattered wide one, and small ones; some tokens
    of none."""
    classes = torch.zeros(size, dtype=torch.int64)
    places = torch.randperm(size, generator=generator)
    classes[places[: WIDE + 40]] = 1
    for number in range(2, count):
        classes[places[WIDE + 40 + 7 * number : WIDE + 40 + 7 * number + number % 7 + 1]] = number
    classes[places[-30:]] = -1
    return classes


@pytest.mark.parametrize("edited", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_classes_read_apart_are_the_softmax_put_together(seed: int, edited: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    size, width, length, count = 3 * PIECE + 100, 16, 9, 40
    hidden = torch.randn(1, length, width, generator=generator) * 3
    embedding = torch.randn(size, width, generator=generator)
    classes = some_classes(generator, size, count)
    marginals = torch.rand(length, count, generator=generator) ** 8
    marginals[0] = 0.0
    marginals[0, 5] = 1.0
    marginals /= marginals.sum(-1, keepdim=True)
    numbers = [torch.randint(0, count, (length,), generator=generator) for _ in range(2)]
    picked = Picked(marginals, *numbers, torch.empty(0))
    constraint = Given(TokenClasses.of(classes, count), picked, slice(0, length))
    uniform = torch.rand(1, length, generator=generator, dtype=torch.float64)
    edits = LogitEdits(
        bias_tokens=torch.tensor([5, 2000, 17]),
        bias=torch.tensor([4.0, -3.0, 1.0]),
        penalised_tokens=torch.tensor([9, 1500]),
        repetition_penalty=1.7,
    )
    readout = Readout(
        temperature=torch.tensor([0.7]),
        uniform=uniform,
        greedy=torch.tensor([False]),
        edits=[edits if edited else None],
        span_constraints=[[constraint]],
    )
    found = read_vocabulary(hidden, embedding, SOFTCAP, torch.tensor(1.0), readout)
    logits = softcapped_logits(hidden[0], embedding, SOFTCAP).double()
    if edited:
        edits.edit_logits(logits)
    logits /= 0.7
    argmax, _, entropy, confidence, soft = naive(logits, classes, picked, uniform[0], embedding)
    assert torch.equal(found.argmax[0], argmax)
    assert torch.allclose(found.entropy[0].double(), entropy, atol=2e-5)
    assert torch.allclose(found.confidence[0].double(), confidence, atol=1e-5)
    assert torch.allclose(found.soft_embedding[0].double(), soft, atol=2e-4)
    assert torch.equal(classes[found.sample[0]], picked.sample)
    for number in range(count):
        members = logits[:, classes == number]
        assert torch.allclose(constraint.mass[:, number].double(), members.logsumexp(-1), atol=1e-4)
        assert torch.allclose(constraint.best[:, number].double(), members.amax(-1), atol=1e-4)


def test_samples_within_a_class_are_distributed_as_its_tokens() -> None:
    generator = torch.Generator().manual_seed(1)
    size, width, count, draws = 2 * PIECE, 8, 12, 4000
    hidden = torch.randn(1, 1, width, generator=generator).expand(1, draws, width)
    embedding = torch.randn(size, width, generator=generator) * 0.8
    classes = some_classes(generator, size, count)
    uniform = torch.rand(1, draws, generator=generator, dtype=torch.float64)
    logits = softcapped_logits(hidden[0, :1], embedding, SOFTCAP)[0] / 0.9
    for number in (0, 1, 6):  # most of the vocabulary, scattered, small
        share = torch.zeros(draws, count)
        share[:, number] = 1.0
        whole = torch.full((draws,), number)
        constraint = Given(
            TokenClasses.of(classes, count), Picked(share, whole, whole, uniform), slice(0, draws)
        )
        readout = Readout(
            temperature=torch.tensor([0.9]),
            uniform=uniform,
            greedy=torch.tensor([False]),
            edits=[None],
            span_constraints=[[constraint]],
        )
        sample = read_vocabulary(hidden, embedding, SOFTCAP, torch.tensor(1.0), readout).sample[0]
        expected = torch.where(classes == number, logits, -torch.inf).double().softmax(-1) * draws
        seen = torch.bincount(sample, minlength=size).double()
        often = expected > 5
        square = float(((seen - expected)[often] ** 2 / expected[often]).sum())
        degrees = max(1, int(often.sum()) - 1)
        assert not seen[expected == 0].any()
        assert square < degrees + 3.1 * (2 * degrees) ** 0.5 + 7


def test_rows_and_positions_without_a_constraint_are_read_as_ever() -> None:
    generator = torch.Generator().manual_seed(2)
    size, length = 1500, 10
    hidden = torch.randn(2, length, 16, generator=generator)
    embedding = torch.randn(size, 16, generator=generator)
    classes = some_classes(generator, size, 20)
    part = torch.full((4,), 3)
    share = torch.zeros(4, 20)
    share[:, 3] = 1.0
    constraint = Given(
        TokenClasses.of(classes, 20), Picked(share, part, part, torch.empty(0)), slice(2, 7)
    )
    wanted = torch.ones(2, length, dtype=torch.bool)
    wanted[0, 4] = False
    uniform = torch.rand(2, length, generator=generator, dtype=torch.float64)

    def read(constraints: list[list[Given]]) -> tuple[Tensor, ...]:
        readout = Readout(
            temperature=torch.ones(2),
            uniform=uniform,
            greedy=torch.tensor([False, True]),
            edits=[None, None],
            wanted=wanted,
            span_constraints=constraints,
        )
        found = read_vocabulary(hidden, embedding, SOFTCAP, torch.tensor(1.0), readout)
        return found.argmax, found.sample, found.entropy, found.confidence, found.soft_embedding

    free = torch.ones(2, length, dtype=torch.bool)
    free[0, 2:7] = False
    for bound, plain in zip(read([[constraint], []]), read([[], []]), strict=True):
        assert torch.equal(bound[free], plain[free])
        assert not bound[0, 4].any()
    assert constraint.wanted.tolist() == [True, True, False, True, True]
    assert (classes[read([[constraint], []])[0][0, [2, 3, 5, 6]]] == 3).all()
