from __future__ import annotations

import pytest
import torch

from redraft.config import GenerationConfig
from redraft.diffusion import (
    Canvas,
    DenoisingOptions,
    DenoisingStep,
    EntropyBoundSampler,
    EveryPositionConfident,
    Noise,
    ScheduledStep,
    StableAndConfident,
)
from redraft.diffusion.schedule import scheduled_temperature
from redraft.ops.vocabulary import VocabularyStatistics


def scheduled(fresh: torch.Tensor) -> ScheduledStep:
    """Return a first step of 48 with these tokens for re-noising."""
    one = torch.ones(len(fresh), dtype=torch.int64)
    noise = Noise.of([(row, 0, 0) for row in range(len(fresh))])
    return ScheduledStep(
        number=one, limit=48 * one, temperature=one.float(), fresh=fresh, noise=noise,
        vocab_size=2000,
    )  # fmt: skip


def statistics(entropy: torch.Tensor) -> VocabularyStatistics:
    tokens = torch.arange(entropy.numel()).view(entropy.shape)
    return VocabularyStatistics(
        argmax=tokens,
        sample=tokens + 1000,
        entropy=entropy,
        confidence=entropy,
        soft_embedding=torch.zeros(0),
    )


def test_positions_are_accepted_while_the_entropy_before_them_is_within_the_bound() -> None:
    generator = torch.Generator().manual_seed(0)
    for bound in (0.01, 0.1, 1.0, 50.0):
        entropy = torch.rand(4, 30, generator=generator) ** 3
        canvas = Canvas.free(torch.full((4, 30), 5))
        fresh = torch.full((4, 30), 7)
        step = EntropyBoundSampler(torch.full((4,), bound)).step(
            statistics(entropy), canvas, scheduled(fresh)
        )
        for row in range(4):
            order = entropy[row].argsort().tolist()
            spent, accepted = 0.0, set()
            for position in order:
                if spent > bound:
                    break
                accepted.add(position)
                spent += float(entropy[row, position])
            assert set(step.accepted[row].nonzero().flatten().tolist()) == accepted
            expected = [row * 30 + i + 1000 if i in accepted else 7 for i in range(30)]
            assert step.canvas[row].tolist() == expected
        assert torch.equal(step.argmax_canvas, torch.arange(120).view(4, 30))


def test_the_surest_position_is_always_accepted() -> None:
    entropy = torch.full((1, 8), 3.0)
    step = EntropyBoundSampler(torch.tensor([0.1])).step(
        statistics(entropy),
        Canvas.free(torch.zeros(1, 8).long()),
        scheduled(torch.zeros(1, 8).long()),
    )
    assert int(step.accepted.sum()) == 1


def test_frozen_positions_cost_nothing_and_do_not_change() -> None:
    entropy = torch.tensor([[9.0, 0.05, 0.08, 9.0, 0.2]])
    frozen = torch.tensor([[True, False, False, True, False]])
    canvas = Canvas(torch.tensor([[70, 0, 0, 73, 0]]), frozen)
    step = EntropyBoundSampler(torch.tensor([0.1])).step(
        statistics(entropy), canvas, scheduled(torch.full((1, 5), 7))
    )
    assert step.accepted.tolist() == [[True, True, True, True, False]]
    assert step.canvas.tolist() == [[70, 1001, 1002, 73, 7]]
    assert step.argmax_canvas.tolist() == [[70, 1, 2, 73, 4]]
    assert step.entropy[0, [0, 3]].tolist() == [0.0, 0.0]
    assert step.confidence[0, [0, 3]].tolist() == [1.0, 1.0]


def test_settled_means_stable_and_confident_over_open_positions() -> None:
    frozen = torch.tensor([[False, False, False, True], [False] * 4, [True] * 4])
    canvas = Canvas(torch.zeros(3, 4).long(), frozen)
    tokens = torch.zeros(3, 4).long()
    entropy = torch.tensor([[0.02, 0.02, 0.02, 0.0], [0.02, 0.02, 0.02, 0.0], [0.0] * 4])
    step = DenoisingStep(tokens, tokens, frozen, entropy, entropy)
    stop = StableAndConfident(torch.tensor([1, 1, 1]), torch.tensor([0.018, 0.018, 0.018]))
    # The same numbers over three open positions, or over four; all frozen is settled at once.
    assert stop(step, canvas, torch.tensor([1, 1, 0])).tolist() == [False, True, True]
    assert stop(step, canvas, torch.tensor([0, 0, 0])).tolist() == [False, False, True]


@pytest.mark.parametrize("seed", range(20))
def test_every_position_is_confident_or_the_canvas_has_not_changed(seed: int) -> None:
    """Position by position, on random entropies about the limits."""
    generator = torch.Generator().manual_seed(seed)
    entropy = torch.rand(6, 9, generator=generator) * 10 ** (
        torch.rand(6, 1, generator=generator) * 3 - 3
    )
    frozen = (
        torch.rand(6, 9, generator=generator) < torch.tensor([0, 0.3, 0.5, 0.5, 0.8, 1])[:, None]
    )
    unchanged = torch.randint(0, 3, (6,), generator=generator)
    tokens = torch.zeros(6, 9).long()
    step = DenoisingStep(tokens, tokens, frozen, entropy.masked_fill(frozen, 0.0), entropy)
    stop = EveryPositionConfident(0.03, 0.2)(step, Canvas(tokens, frozen), unchanged)
    for row in range(6):
        limit = 0.2 if int(unchanged[row]) >= 1 else 0.03
        doubts = [at for at in range(9) if not frozen[row, at] and float(entropy[row, at]) >= limit]
        assert bool(stop[row]) == (not doubts)
    assert bool(stop[5])


def test_the_schedule_is_linear_and_a_row_each() -> None:
    options = DenoisingOptions.of(
        [GenerationConfig(), GenerationConfig(max_denoising_steps=4, t_min=0.0, t_max=1.0),
         GenerationConfig(temperature=2.0), GenerationConfig(temperature=0.0)]
    )  # fmt: skip
    first = scheduled_temperature(options, torch.tensor([1, 1, 1, 1]))
    last = scheduled_temperature(options, torch.tensor([48, 4, 48, 48]))
    assert torch.allclose(first, torch.tensor([0.8, 1.0, 1.6, 0.8]))
    assert torch.allclose(
        last, torch.tensor([0.4 + 0.4 / 48, 0.25, 2 * (0.4 + 0.4 / 48), 0.4 + 0.4 / 48])
    )
