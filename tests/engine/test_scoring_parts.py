"""Scores are read in the engine's own parts, so that others need not wait for a whole text."""

from __future__ import annotations

import random

import pytest

from redraft.config import GenerationConfig
from redraft.engine import Engine, Request, Scoring
from redraft.engine.runner import Plan
from redraft.events import Completed, Draft
from redraft.network import ENCODE_BLOCK, DiffusionGemma
from redraft.testing import tiny_model
from tests.cases import cases


@pytest.fixture(scope="module")
def model() -> DiffusionGemma:
    return tiny_model(0, max_position_embeddings=4096)


def tokens(seed: int, count: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(2, 150) for _ in range(count)]


def scores(engine: Engine, work: Scoring) -> object:
    engine.add(work)
    (found,) = [event.result for event in engine.run() if isinstance(event, Completed)]
    return found


@pytest.mark.parametrize("seed", cases(6, 2))
def test_parts_change_no_bit_of_a_score(model: DiffusionGemma, seed: int) -> None:
    rng = random.Random(seed)
    prompt = tokens(seed, rng.choice((1, 77, 300)))
    text = tokens(seed + 1, rng.choice((ENCODE_BLOCK, 257, 600)))
    expected = scores(Engine(model), Scoring(prompt, text, 3))
    for chunk in (ENCODE_BLOCK, 2 * ENCODE_BLOCK):
        assert scores(Engine(model, prefill_chunk=chunk), Scoring(prompt, text, 3)) == expected


def test_no_step_reads_more_than_a_part(
    model: DiffusionGemma, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(model, prefill_chunk=ENCODE_BLOCK, max_batch_size=16)
    sizes: list[int] = []
    run = engine._runner.run

    def counted(plan: Plan) -> None:
        sizes.append(sum(len(part.tokens) for _, part in plan.parts))
        run(plan)

    monkeypatch.setattr(engine._runner, "run", counted)
    engine.add(Scoring([3], tokens(0, 700)))
    assert len(list(engine.run())) == 1
    assert max(sizes) <= ENCODE_BLOCK
    assert sum(sizes) == 700


def test_another_goes_before_the_many_scores_of_a_group(model: DiffusionGemma) -> None:
    engine = Engine(model, prefill_chunk=ENCODE_BLOCK, max_batch_size=16)
    for seed in range(13):
        engine.add(Scoring([3], tokens(seed, 900)), group=0)
    for _ in range(15):
        engine.step()
    config = GenerationConfig(max_new_tokens=16, max_denoising_steps=3, seed=1)
    other = engine.add(Request((2, 151, 4), config=config))
    events = [*engine.step(), *engine.step()]
    assert any(isinstance(one, Draft) and one.request == other for one in events)
