"""The whole loop against transformers, token for token: the same draws fed to both give the same
canvases at every step."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import redraft
from redraft.config import GenerationConfig
from redraft.engine import Engine, Request
from redraft.events import Draft, Finished
from tests.cases import cases
from tests.parity.reference import EOS, reference_generate, saved_reference


def random_options(rng: random.Random, canvas_length: int) -> GenerationConfig:
    t_min = rng.uniform(0.2, 0.8)
    return GenerationConfig(
        max_new_tokens=rng.randint(1, 4 * canvas_length),
        max_denoising_steps=rng.randint(1, 10),
        t_min=t_min,
        t_max=t_min + rng.uniform(0.05, 0.6),
        entropy_bound=rng.choice((0.1, 1.0, 5.0, 20.0)),
        stability_threshold=rng.choice((0, 0, 1, 2)),
        confidence_threshold=rng.choice((0.005, 1.0, 3.0, 5.0)),
        # Unlikely ends in half of the cases, so that texts of several canvases are common.
        eos_token_id=tuple(rng.sample(range(160), 3)) if rng.random() < 0.5 else tuple(EOS),
    )


REACHED: Counter[str] = Counter()


@pytest.mark.parametrize("case", cases(50, 14))
def test_canvases_steps_and_output_are_the_references(tmp_path: Path, case: int) -> None:
    """Our rows run as one batch of unequal prompts; the reference runs row by row, and as its own
    padded batch."""
    rng = random.Random(1000 + case)
    reference = saved_reference(tmp_path / "model", 100 + case)
    model = redraft.load(tmp_path / "model")
    config = random_options(rng, model.config.canvas_length)
    prompts = [
        [rng.randrange(3, 150) for _ in range(rng.randint(1, 50))]
        for _ in range(rng.choice((1, 1, 3)))
    ]
    seeds = [rng.getrandbits(63) for _ in prompts]
    engine = Engine(model.network)
    for prompt, seed in zip(prompts, seeds, strict=True):
        engine.add(Request.checked(prompt, replace(config, seed=seed), model.config))
    events = list(engine.run())

    padded, padded_canvases = reference_generate(reference, prompts, config, seeds)
    for row, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
        (expected,), canvases = reference_generate(reference, [prompt], config, [seed])
        ours = [event for event in events if event.request == row]
        finished = ours[-1]
        assert isinstance(finished, Finished)
        assert list(finished.tokens) == expected == padded[row]
        assert finished.statistics.steps_per_canvas == tuple(len(steps) for steps in canvases)
        for draft in (event for event in ours if isinstance(event, Draft)):
            tokens = list(draft.tokens)
            assert tokens == canvases[draft.canvas][draft.step - 1][0].tolist(), (
                row,
                draft.canvas,
                draft.step,
            )
            assert tokens == padded_canvases[draft.canvas][draft.step - 1][row].tolist()
        REACHED.update(
            cases=row == 0,
            several=len(canvases) > 1,
            early=min(map(len, canvases)) < config.max_denoising_steps,
            ended=finished.reason == "stop",
            batched=len(prompts) > 1,
        )


def test_the_cases_reach_what_they_are_meant_to_reach() -> None:
    """Several canvases, early stops, ends in the middle, batches: counted in the cases above."""
    if REACHED["cases"] < 50:
        pytest.skip("counts all fifty cases, and not all of them have run")
    assert REACHED["several"] >= 30
    assert REACHED["early"] >= 15
    assert REACHED["ended"] >= 10
    assert REACHED["batched"] >= 30
