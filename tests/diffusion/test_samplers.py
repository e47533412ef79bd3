"""Each sampler against the naive form of its rule, position by position, on random statistics."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch

from redraft.diffusion import (
    Canvas,
    ConfidenceThresholdSampler,
    DenoisingStep,
    KlassSampler,
    Noise,
    PredictorCorrectorSampler,
    Sampler,
    ScheduledStep,
    TopKSampler,
)
from redraft.errors import ConfigError
from redraft.ops.vocabulary import VocabularyStatistics

VOCABULARY = 40
LENGTH = 30
SEEDS = range(12)


@dataclass(frozen=True)
class Given:
    """The input of one step of some rows."""

    statistics: VocabularyStatistics
    canvas: Canvas
    step: ScheduledStep


def given(seed: int, rows: int = 4, length: int = LENGTH) -> Given:
    """Draw statistics, a canvas with frozen positions, and steps, a row each."""
    generator = torch.Generator().manual_seed(seed)

    def tokens() -> torch.Tensor:
        return torch.randint(0, VOCABULARY, (rows, length), generator=generator)

    def uniform() -> torch.Tensor:
        return torch.rand(rows, length, generator=generator)

    argmax = tokens()
    statistics = VocabularyStatistics(
        argmax=argmax,
        sample=torch.where(uniform() < 0.8, argmax, tokens()),
        entropy=uniform() ** 3,
        # A grid, so that ties happen.
        confidence=(uniform() ** 0.3 * 20).round() / 20,
        soft_embedding=torch.zeros(rows, length, 1),
        divergence=uniform() ** 4 * 0.1,
    )
    frozen = uniform() < torch.tensor([0.0, 0.3, 0.9, 1.0])[:rows, None]
    # Half of the canvas already holds the sample.
    canvas = Canvas(torch.where(uniform() < 0.5, statistics.sample, tokens()), frozen)
    limit = torch.randint(1, 12, (rows,), generator=generator)
    number = (torch.rand(rows, generator=generator) * limit).long() + 1
    noise = Noise.of([(seed, row, 3) for row in range(rows)])
    step = ScheduledStep(
        number=number,
        limit=limit,
        temperature=uniform()[:, 0],
        fresh=noise.at(number, length, VOCABULARY)[1],
        noise=noise,
        vocab_size=VOCABULARY,
    )
    return Given(statistics, canvas, step)


def check(case: Given, result: DenoisingStep, row: int, tokens: list[int], kept: set[int]) -> None:
    """Compare one row with the tokens and the accepted positions of a naive form."""
    frozen = set(case.canvas.frozen[row].nonzero().flatten().tolist())
    expected = [
        int(case.canvas.tokens[row, at]) if at in frozen else tokens[at]
        for at in range(len(tokens))
    ]
    assert result.canvas[row].tolist() == expected
    assert set(result.accepted[row].nonzero().flatten().tolist()) == kept | frozen
    argmax = case.canvas.hold(case.statistics.argmax)[row]
    assert torch.equal(result.argmax_canvas[row], argmax)
    for at in frozen:
        assert float(result.entropy[row, at]) == 0.0
        assert float(result.confidence[row, at]) == 1.0


def check_accepted(
    case: Given, result: DenoisingStep, accept: Callable[[int, list[int]], set[int]]
) -> None:
    """Compare every row with `accept(row, open positions)`: these take the sample, others noise."""
    for row in range(len(case.canvas.tokens)):
        open_positions = (~case.canvas.frozen[row]).nonzero().flatten().tolist()
        kept = accept(row, open_positions)
        tokens = [
            int((case.statistics.sample if at in kept else case.step.fresh)[row, at])
            for at in range(LENGTH)
        ]
        check(case, result, row, tokens, kept)


def sureness(case: Given, row: int) -> list[float]:
    """Return the probability of each sample, or its bound where the sample is not the argmax."""
    found = []
    for at in range(LENGTH):
        confidence = case.statistics.confidence[row, at]
        rest = 1.0 - confidence
        same = int(case.statistics.sample[row, at]) == int(case.statistics.argmax[row, at])
        found.append(float(confidence) if same else min(float(confidence), float(rest)))
    return found


def surest(case: Given, row: int, positions: list[int], count: int) -> set[int]:
    """Return the `count` surest positions; of equals the first."""
    sure = sureness(case, row)
    return set(sorted(positions, key=lambda at: -sure[at])[:count])


@pytest.mark.parametrize("seed", SEEDS)
def test_confidence_threshold_accepts_what_is_sure_enough_and_always_the_surest(seed: int) -> None:
    case = given(seed)
    for threshold in (0.5, 0.9, 1.0):
        result = ConfidenceThresholdSampler(threshold).step(case.statistics, case.canvas, case.step)

        def accept(row: int, positions: list[int], threshold: float = threshold) -> set[int]:
            sure = sureness(case, row)
            enough = {at for at in positions if sure[at] >= float(torch.tensor(threshold))}
            return enough | surest(case, row, positions, 1)

        check_accepted(case, result, accept)


def naive_progress(case: Given, row: int, steps: int | None) -> tuple[int, int]:
    """Return n and N of a schedule of `steps`, or of all steps."""
    number, limit = int(case.step.number[row]), int(case.step.limit[row])
    if steps is not None and steps < limit:
        return min(number, steps), steps
    return number, limit


@pytest.mark.parametrize("steps", [None, 1, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_top_k_accepts_as_many_as_the_schedule_says(seed: int, steps: int | None) -> None:
    case = given(seed)
    result = TopKSampler(steps).step(case.statistics, case.canvas, case.step)

    def accept(row: int, positions: list[int]) -> set[int]:
        number, limit = naive_progress(case, row, steps)
        count = math.ceil(len(positions) * number / limit - 1e-9)
        return surest(case, row, positions, count)

    check_accepted(case, result, accept)


def test_top_k_ends_with_every_position() -> None:
    case = given(1)
    last = replace(case.step, number=case.step.limit)
    assert bool(TopKSampler().step(case.statistics, case.canvas, last).accepted.all())


@pytest.mark.parametrize("seed", SEEDS)
def test_klass_accepts_what_is_confident_and_has_been_stable(seed: int) -> None:
    """Over several steps, each with new statistics; the memory goes from one to the next."""
    sampler = KlassSampler(threshold=0.7, kl_threshold=0.01, history=2)
    memory: dict[str, torch.Tensor] = {}
    below: list[list[list[bool]]] = []
    for number in range(4):
        case = given(100 * seed + number)
        case = replace(case, step=replace(case.step, memory=memory))
        assert case.statistics.divergence is not None
        below.append((case.statistics.divergence < 0.01).tolist())
        result = sampler.step(case.statistics, case.canvas, case.step)
        memory = dict(result.memory)

        def accept(
            row: int, positions: list[int], case: Given = case, number: int = number
        ) -> set[int]:
            sure = sureness(case, row)
            recent = below[-2:]
            ready = {
                at
                for at in positions
                if sure[at] > float(torch.tensor(0.7))
                and number >= 1
                and all(step[row][at] for step in recent)
            }
            share = math.ceil(len(positions) / int(case.step.limit[row]))
            return ready or surest(case, row, positions, share)

        check_accepted(case, result, accept)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sampler", [
    PredictorCorrectorSampler(kappa=1.0), PredictorCorrectorSampler(kappa=0.0),
    PredictorCorrectorSampler(kappa=0.6), PredictorCorrectorSampler(eta=0.2),
    PredictorCorrectorSampler(kappa=0.6, steps=3),
])  # fmt: skip
def test_predictor_corrector_draws_from_the_mixture(
    seed: int, sampler: PredictorCorrectorSampler
) -> None:
    """The naive form lays the mixture out over three outcomes and reads the draw off it."""
    case = given(seed)
    result = sampler.step(case.statistics, case.canvas, case.step)
    (first, _), (second, _) = case.step.draw(1), case.step.draw(2)
    for row in range(len(case.canvas.tokens)):
        number, limit = naive_progress(case, row, sampler.steps)
        alpha_t, alpha_s = (number - 1) / limit, number / limit
        tokens = []
        for at in range(LENGTH):
            z, x = int(case.canvas.tokens[row, at]), int(case.statistics.sample[row, at])
            masses = dict.fromkeys(("canvas", "sample"), 0.0)
            if float(first[row, at]) >= naive_kappa(sampler, alpha_t, alpha_s):
                masses["sample"] = alpha_s
            elif z == x:
                rest = (1 - alpha_t / alpha_s) * (1 - alpha_s)
                masses["sample"] = 1 - rest / (VOCABULARY * alpha_t + 1 - alpha_t)
            else:
                masses["canvas"] = (alpha_t / alpha_s - alpha_t) / (1 - alpha_t)
                masses["sample"] = (alpha_s - alpha_t) / (1 - alpha_t)
            draw = float(second[row, at])
            if draw < masses["canvas"]:
                tokens.append(z)
            elif draw < masses["canvas"] + masses["sample"]:
                tokens.append(x)
            else:
                tokens.append(int(case.step.fresh[row, at]))
        kept = {at for at in range(LENGTH) if tokens[at] == int(case.statistics.sample[row, at])}
        check(case, result, row, tokens, kept)


def naive_kappa(sampler: PredictorCorrectorSampler, alpha_t: float, alpha_s: float) -> float:
    if sampler.eta is None:
        return sampler.kappa
    if alpha_s == 1:
        return 1.0
    sigma = sampler.eta if alpha_t == 0 else min(sampler.eta, (1 - alpha_s) / alpha_t)
    return min(1.0, max(0.0, 1 - sigma / (1 - alpha_s)))


def exact_psi(z: int, mean: torch.Tensor, alpha_t: float, alpha_s: float, kappa: float) -> object:
    """Return psi(. | z), float64 [V]: the sum over clean tokens x of mean[x] psi(. | x, z), by
    Bayes' rule from the forward process alone."""
    size = len(mean)
    eye = torch.eye(size, dtype=torch.float64)
    ratio = alpha_t / alpha_s
    to_s = alpha_s * eye + (1 - alpha_s) / size  # [x, s]
    to_t = ratio * eye + (1 - ratio) / size  # [s, t]
    joint = to_s * to_t[:, z]
    reverse = joint / joint.sum(-1, keepdim=True)
    return (mean[:, None] * (kappa * reverse + (1 - kappa) * to_s)).sum(0)


@pytest.mark.parametrize("kappa", [1.0, 0.5, 0.0])
def test_predictor_corrector_has_the_distribution_of_bayes_rule(kappa: float) -> None:
    """Drawn 200,000 times, with the sample drawn from a distribution over six tokens."""
    size, count, z = 6, 200_000, 2
    mean = torch.tensor([0.1, 0.05, 0.4, 0.2, 0.25, 0.0], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.int64)
    for number, limit in ((1, 5), (2, 5), (4, 5), (5, 5)):
        noise = Noise.of([(number, 0, 0)])
        step = ScheduledStep(
            number=number * one, limit=limit * one, temperature=one.float(),
            fresh=noise.at(one, count, size)[1], noise=noise, vocab_size=size,
        )  # fmt: skip
        sample = torch.multinomial(
            mean, count, replacement=True, generator=torch.Generator().manual_seed(number)
        )[None]
        flat = torch.zeros(1, count)
        statistics = VocabularyStatistics(
            argmax=sample, sample=sample, entropy=flat, confidence=flat, soft_embedding=flat
        )
        canvas = Canvas.free(torch.full((1, count), z))
        result = PredictorCorrectorSampler(kappa=kappa).step(statistics, canvas, step)
        found = result.canvas.flatten().bincount(minlength=size).double() / count
        expected = exact_psi(z, mean, (number - 1) / limit, number / limit, kappa)
        assert isinstance(expected, torch.Tensor)
        error = (found - expected).abs() / ((expected * (1 - expected) / count).sqrt() + 1e-9)
        assert float(error.max()) < 5, (number, found, expected)


def test_settings_out_of_range_are_errors() -> None:
    for make in (
        lambda: ConfidenceThresholdSampler(0.0),
        lambda: ConfidenceThresholdSampler(1.1),
        lambda: KlassSampler(history=0),
        lambda: KlassSampler(kl_threshold=-1.0),
        lambda: PredictorCorrectorSampler(kappa=1.5),
        lambda: PredictorCorrectorSampler(steps=0),
        lambda: TopKSampler(steps=0),
        lambda: PredictorCorrectorSampler(eta=float("nan")),
    ):
        with pytest.raises(ConfigError, match="must be"):
            make()


@pytest.mark.parametrize("sampler", [
    ConfidenceThresholdSampler(0.8), TopKSampler(), KlassSampler(), PredictorCorrectorSampler(),
    PredictorCorrectorSampler(eta=0.1),
])  # fmt: skip
def test_a_row_is_decided_alike_in_any_batch(sampler: Sampler) -> None:
    rng = random.Random(0)
    case = given(5, length=61)
    together = sampler.step(case.statistics, case.canvas, case.step)
    for rows in ([0], [3, 1], rng.sample(range(4), 3)):
        index = torch.tensor(rows)
        alone = sampler.step(
            case.statistics.rows(index), case.canvas.rows(index), case.step.rows(index, {})
        )
        for name in ("canvas", "argmax_canvas", "accepted", "entropy", "confidence"):
            assert torch.equal(getattr(alone, name), getattr(together, name)[index])
        for name, tensor in alone.memory.items():
            assert torch.equal(tensor, together.memory[name][index])
