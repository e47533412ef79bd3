"""The whole loop against transformers, token for token: the same draws fed to both give the same canvases at every step."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import redraft
from redraft.config import GenerationConfig
from redraft.events import Draft, Finished
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


@pytest.mark.parametrize("case", range(50))
def test_canvases_steps_and_output_are_the_references(tmp_path: Path, case: int) -> None:
    rng = random.Random(1000 + case)
    reference = saved_reference(tmp_path / "model", 100 + case)
    model = redraft.load(tmp_path / "model")
    config = random_options(rng, model.config.canvas_length)
    rows = rng.choice((1, 1, 3))
    prompts = [[rng.randrange(3, 150) for _ in range(rng.randint(1, 50))] for _ in range(rows)]
    seeds = [rng.getrandbits(63) for _ in range(rows)]

    expected, canvases = reference_generate(reference, prompts, config, seeds)
    for row, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
        options = {name: getattr(config, name) for name in config.__dataclass_fields__} | {"seed": seed}
        events = list(model.stream(prompt, **options))
        drafts = [event for event in events if isinstance(event, Draft)]
        finished = events[-1]
        assert isinstance(finished, Finished)
        assert list(finished.tokens) == expected[row]
        for draft in drafts:
            assert list(draft.tokens) == canvases[draft.canvas][draft.step - 1][row].tolist(), (draft.canvas, draft.step)
        if rows == 1:  # a padded batch goes on until its slowest row is done
            assert list(finished.statistics.steps_per_canvas) == [len(steps) for steps in canvases]


def test_the_cases_reach_what_they_are_meant_to_reach(tmp_path: Path) -> None:
    """Several canvases, early stops, ends in the middle: the random options above must not miss the interesting ones."""
    several = early = ended = 0
    for case in range(50):
        rng = random.Random(1000 + case)
        saved_reference(tmp_path / f"{case}", 100 + case)
        model = redraft.load(tmp_path / f"{case}")
        config = random_options(rng, model.config.canvas_length)
        rng.choice((1, 1, 3))
        finished = model.generate(
            [rng.randrange(3, 150) for _ in range(20)],
            **{name: getattr(config, name) for name in config.__dataclass_fields__} | {"seed": case},
        )
        steps = finished.statistics.steps_per_canvas
        several += len(steps) > 1
        early += min(steps) < config.max_denoising_steps
        ended += finished.reason == "stop"
    assert several >= 20
    assert early >= 10
    assert ended >= 5
