"""Samplers and stopping criteria through the engine: batches, constraints, frozen positions."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

import redraft
from redraft import Model
from redraft.diffusion import (
    Canvas,
    ConfidenceThresholdSampler,
    DenoisingStep,
    EntropyBoundSampler,
    KlassSampler,
    PredictorCorrectorSampler,
    Sampler,
    ScheduledStep,
    StableAndConfident,
    TopKSampler,
)
from redraft.engine import Engine, Request
from redraft.errors import ConfigError, RequestError, StrategyError, UnknownOptionError
from redraft.events import Draft, Event, Finished
from redraft.grammar import JsonSchema, Regex
from redraft.ops.vocabulary import VocabularyStatistics

ALL: list[Sampler] = [
    EntropyBoundSampler(0.3),
    ConfidenceThresholdSampler(0.6),
    TopKSampler(),
    KlassSampler(0.5, 0.05),
    PredictorCorrectorSampler(0.9),
]
NAMES = [type(sampler).__name__ for sampler in ALL]


@pytest.fixture(scope="module")
def tiny(checkpoint: Path) -> Model:
    return redraft.load(checkpoint)


@dataclass(frozen=True)
class Counting:
    """Keeps every sample, and counts its steps in its memory."""

    seen: list[list[int]]

    def step(
        self, statistics: VocabularyStatistics, canvas: Canvas, step: ScheduledStep
    ) -> DenoisingStep:
        count = step.memory.get("count", torch.zeros_like(step.number))
        assert torch.equal(count, step.number - 1)
        self.seen.append(step.number.tolist())
        memory = {"count": count + 1}
        everything = torch.ones_like(canvas.frozen)
        return DenoisingStep.of(statistics, canvas, statistics.sample, everything, memory)


@dataclass(frozen=True)
class After:
    """Settled after so many steps that changed nothing; no base class, just a call."""

    unchanged: int

    def __call__(self, step: DenoisingStep, canvas: Canvas, unchanged: Tensor) -> Tensor:
        return unchanged >= self.unchanged


def written(events: list[Event], number: int) -> Any:
    """Return all that was said of one request, with every draft's entropies."""
    mine = [replace(event, request=0) for event in events if event.request == number]
    return [
        (event.tokens, event.statistics.steps_per_canvas) if isinstance(event, Finished) else event
        for event in mine
    ]


def run(model: Model, requests: list[Request], batch: int) -> list[Event]:
    engine = Engine(model.network, model.tokenizer, max_batch_size=batch)
    for request in requests:
        engine.add(request)
    return [cast(Event, event) for event in engine.run()]


def test_a_row_does_not_depend_on_the_samplers_beside_it(tiny: Model) -> None:
    """Ten rows of ten samplers and stops, over several canvases, as they enter and leave a batch of
    four, and each alone."""
    length = tiny.config.canvas_length
    strategies: list[tuple[Any, Any]] = [
        *((sampler, None) for sampler in ALL), (None, None), (None, After(1)),
        (Counting([]), After(2)), (KlassSampler(0.5, 0.05), StableAndConfident(0, 5.0)),
        (PredictorCorrectorSampler(eta=0.2), None),
    ]  # fmt: skip
    requests = [
        Request.checked(
            [2, 7 + row, 9],
            redraft.GenerationConfig(
                max_new_tokens=length * (1 + row % 3), seed=row, max_denoising_steps=4 + row,
                eos_token_id=(), temperature=0.0 if row % 4 == 3 else 1.0,
            ),
            tiny.config, sampler=sampler, stopping=stopping,
        )
        for row, (sampler, stopping) in enumerate(strategies)
    ]  # fmt: skip
    together = run(tiny, requests, 4)
    for row, request in enumerate(requests):
        alone = run(tiny, [request], 1)
        assert written(together, row) == written(alone, 0)


def test_the_defaults_by_name_are_the_defaults(tiny: Model) -> None:
    options: dict[str, Any] = {"seed": 3, "max_new_tokens": 40, "max_denoising_steps": 9}
    plain = tiny.generate("buy milk", **options)
    for sampler, stopping in (
        ("entropy_bound", "stable_and_confident"),
        (EntropyBoundSampler(), StableAndConfident()),
        ({"name": "entropy_bound", "entropy_bound": 0.1}, None),
    ):
        named = tiny.generate("buy milk", sampler=sampler, stopping=stopping, **options)
        assert (named.tokens, named.statistics.steps_per_canvas) == (
            plain.tokens,
            plain.statistics.steps_per_canvas,
        )


@pytest.mark.parametrize("sampler", ALL, ids=NAMES)
def test_a_constrained_text_is_valid_under_every_sampler(tiny: Model, sampler: Sampler) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "yy"]}},
        "required": ["a", "b"],
    }
    for seed in range(3):
        for temperature in (1.0, 0.0):
            options: dict[str, Any] = {
                "seed": seed, "max_denoising_steps": 4, "temperature": temperature,
            }  # fmt: skip
            finished = tiny.generate(
                "hi", constraint=JsonSchema(schema), sampler=sampler, max_new_tokens=40, **options
            )
            assert finished.parsed is not None
            pattern = r"[a-z]{3,9}(, [0-9]{2}){4}"
            finished = tiny.generate(
                "hi", constraint=Regex(pattern), sampler=sampler, max_new_tokens=60, **options
            )
            assert re.fullmatch(pattern, finished.text)


@pytest.mark.parametrize("sampler", ALL, ids=NAMES)
def test_frozen_positions_stay_and_temperature_0_takes_the_argmax(
    tiny: Model, sampler: Sampler
) -> None:
    frozen = {0: 30, 3: 40, 9: 50}
    for event in tiny.stream(
        [2, 8, 9], frozen=frozen, sampler=sampler, seed=1, temperature=0, max_denoising_steps=5
    ):
        if isinstance(event, Draft) and event.canvas == 0:
            assert all(event.tokens[at] == token for at, token in frozen.items())
            assert all(event.accepted[at] and event.entropy[at] == 0 for at in frozen)


def test_a_sampler_that_forgets_frozen_positions_cannot_change_them(tiny: Model) -> None:
    class Forgets:
        def step(
            self, statistics: VocabularyStatistics, canvas: Canvas, step: ScheduledStep
        ) -> DenoisingStep:
            held = DenoisingStep.of(statistics, canvas, step.fresh, canvas.frozen)
            return replace(held, canvas=step.fresh, argmax_canvas=step.fresh)

    finished = tiny.generate(
        [2, 8], frozen={0: 30, 5: 40}, sampler=Forgets(), max_new_tokens=6, seed=1, eos_token_id=()
    )
    assert (finished.tokens[0], finished.tokens[5]) == (30, 40)


def test_one_object_serves_its_rows_together(tiny: Model) -> None:
    """And the memory of rows that enter later is theirs alone."""
    seen: list[list[int]] = []
    tiny.generate(
        [[2, 5], [2, 6], [2, 7]], sampler=Counting(seen), stopping=After(9), max_batch_size=2,
        max_denoising_steps=3, seed=1, max_new_tokens=4,
    )  # fmt: skip
    assert seen == [[1, 1], [2, 2], [3, 3], [1], [2], [3]]


def test_a_stop_ends_a_canvas(tiny: Model) -> None:
    class Never:
        def __call__(self, step: DenoisingStep, canvas: Canvas, unchanged: Tensor) -> Tensor:
            return torch.zeros_like(unchanged, dtype=torch.bool)

    class AtOnce:
        def __call__(self, step: DenoisingStep, canvas: Canvas, unchanged: Tensor) -> Tensor:
            return torch.ones_like(unchanged, dtype=torch.bool)

    for stopping, steps in ((Never(), 6), (AtOnce(), 1)):
        finished = tiny.generate(
            [2, 8], stopping=stopping, max_denoising_steps=6, max_new_tokens=4, seed=2
        )
        assert finished.statistics.steps_per_canvas == (steps,)


def test_what_is_no_sampler_is_an_error_before_any_work(tiny: Model) -> None:
    with pytest.raises(ConfigError, match="a method `step`"):
        tiny.generate([2], sampler=3)  # type: ignore[call-overload]
    with pytest.raises(UnknownOptionError, match="klass"):
        tiny.generate([2], sampler="klas")
    with pytest.raises(RequestError, match="no canvas"):
        tiny.generate([2], sampler="klass", method="typewriter")
    with pytest.raises(ConfigError, match="one number"):
        tiny.generate([2], sampler=EntropyBoundSampler(torch.tensor([0.1])))
    with pytest.raises(ConfigError, match="three arguments"):
        tiny.generate([2], sampler=torch.optim.SGD([torch.zeros(1)], 0.1))  # type: ignore[call-overload]


def test_a_strategy_by_its_name_has_the_settings_of_the_call(tiny: Model) -> None:
    def run(**options: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
        found = tiny.generate("a", seed=3, max_new_tokens=4, max_denoising_steps=9, **options)
        return found.tokens, found.statistics.steps_per_canvas

    bound: dict[str, Any] = {"entropy_bound": 40.0}
    assert run(sampler="entropy_bound", **bound) == run(**bound) != run()
    assert run(sampler="entropy_bound:entropy_bound=0.1", **bound) == run()
    stop: dict[str, Any] = {"stability_threshold": 0, "confidence_threshold": 30.0}
    assert run(stopping="stable_and_confident", **stop)[1] == run(**stop)[1] == (1,)
    assert run(stopping="stable_and_confident:stability_threshold=9", **stop)[1] == (9,)


@pytest.mark.parametrize("option", ["entropy_bound", "stability_threshold", "confidence_threshold"])
def test_a_setting_that_the_strategy_does_not_read_is_an_error(tiny: Model, option: str) -> None:
    chosen: dict[str, Any] = {"sampler": "klass", "stopping": "every_position", option: 1}
    with pytest.raises(ConfigError, match=f"leave out {option}"):
        tiny.generate([2], **chosen)
    with pytest.raises(ConfigError, match=f"leave out {option}"):
        tiny.infill("a <hole> b", **chosen)
    with pytest.raises(RequestError, match="no canvas"):
        tiny.infill("a <hole> b", sampler="klass", method="autoregressive")


@dataclass(frozen=True)
class Returns:
    """Changes one field of what a right sampler returns."""

    field: str
    change: Any

    def step(
        self, statistics: VocabularyStatistics, canvas: Canvas, step: ScheduledStep
    ) -> DenoisingStep:
        right = DenoisingStep.of(statistics, canvas, statistics.sample, ~canvas.frozen)
        return replace(right, **{self.field: self.change(getattr(right, self.field))})


@pytest.mark.parametrize(("field", "change", "message"), [
    ("canvas", lambda old: old[:1, :4], r"canvas is int64 \[1, 4\]"),
    ("canvas", lambda old: old[..., :1], "canvas is int64"),
    ("canvas", lambda old: old + 10**9, "outside the vocabulary"),
    ("argmax_canvas", lambda old: old.float(), "argmax_canvas is float32"),
    ("accepted", lambda old: old.long(), "accepted is int64"),
    ("entropy", lambda old: old[0], "entropy is float32"),
    ("entropy", lambda old: old * torch.nan, "entropy holds NaN"),
    ("confidence", lambda old: 0.5, "confidence is float"),
    ("memory", lambda old: {"a": torch.zeros(())}, "memory 'a'"),
])  # fmt: skip
def test_a_wrong_result_of_a_sampler_names_the_sampler_and_the_field(
    tiny: Model, field: str, change: Any, message: str
) -> None:
    with pytest.raises(StrategyError, match=f"Returns returned .*{message}"):
        tiny.generate([[2, 5], [2, 6]], sampler=Returns(field, change), max_new_tokens=4, seed=1)


@pytest.mark.parametrize("settled", [
    lambda unchanged: True,
    lambda unchanged: (unchanged > 1).all(),
    lambda unchanged: unchanged,
    lambda unchanged: (unchanged > 1)[:, None],
])  # fmt: skip
def test_a_wrong_result_of_a_stop_names_the_stop(tiny: Model, settled: Any) -> None:
    def stop(step: DenoisingStep, canvas: Canvas, unchanged: Tensor) -> Any:
        return settled(unchanged)

    with pytest.raises(StrategyError, match="the stopping criterion function returned is"):
        tiny.generate([[2, 5], [2, 6]], stopping=stop, max_new_tokens=4, seed=1)


def test_a_sampler_that_returns_nothing_says_so(tiny: Model) -> None:
    class Nothing:
        def step(self, statistics: object, canvas: object, step: object) -> None:
            return None

    with pytest.raises(StrategyError, match="Nothing returned NoneType"):
        tiny.generate([2], sampler=Nothing())  # type: ignore[call-overload]
