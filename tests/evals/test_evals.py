from __future__ import annotations

import pytest

from redraft.api import Model
from redraft.config import GenerationConfig
from redraft.evals import (
    HeldOutSet,
    Outcome,
    compare_methods,
    evaluate,
    retry,
    summarise,
    wilson,
)
from redraft.events import Draft
from redraft.tasks import Example
from redraft.testing import byte_tokenizer, tiny_model
from redraft.text import ChatTemplate
from redraft.text.chat_template import TURN_TEMPLATE


class StartsLow:
    """A task whose right answers begin with a token of a certain text: judged on whatever a random
    model writes."""

    name = "starts low"

    def draw(self, rng):
        raise NotImplementedError

    def check(self, example: Example, text: str) -> bool:
        return text[:1] < example.answer


@pytest.fixture(scope="module")
def model() -> Model:
    config = GenerationConfig(max_new_tokens=16, max_denoising_steps=4, eos_token_id=())
    return Model(
        tiny_model(2), byte_tokenizer(), ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"}), config
    )


def test_outcomes_are_those_of_writing_each_example_alone(model: Model) -> None:
    examples = [Example(f"question {number}", "t", number) for number in range(9)]
    counted: list[int] = []
    outcomes = evaluate(
        model, StartsLow(), examples, seed=40, batch_size=4, progress=lambda: counted.append(1)
    )
    assert len(counted) == 9
    for number, (example, outcome) in enumerate(zip(examples, outcomes, strict=True)):
        messages = [{"role": "user", "content": example.prompt}]
        events = list(model.stream(messages=messages, seed=40 + number))
        first = next(event for event in events if isinstance(event, Draft))
        assert outcome.text == events[-1].text
        assert outcome.right == (events[-1].text[:1] < "t")
        assert outcome.first_right == (first.text[:1] < "t")
        assert outcome.steps == events[-1].statistics.forwards
    assert {outcome.right for outcome in outcomes} == {True, False}  # or the test would show little


def test_autoregressive_decoding_has_no_first_draft(model: Model) -> None:
    (outcome,) = evaluate(model, StartsLow(), [Example("q", "t", 0)], method="autoregressive")
    assert outcome.first_right is None
    assert outcome.steps == 16


def test_the_table_counts() -> None:
    def outcome(difficulty: int, right: bool, first: bool, steps: int) -> Outcome:
        return Outcome(Example("", "", difficulty), "", right, steps, first, True)

    outcomes = [
        outcome(1, True, True, 2),
        outcome(2, True, False, 4),
        outcome(2, False, False, 6),
        outcome(9, False, True, 1),
    ]
    low, high = summarise(outcomes, [(1, 2), (3, 8), (9, 9)])
    assert (low.count, low.right, low.mean_steps, low.right_after_first) == (3, 2 / 3, 4.0, 1 / 3)
    assert (low.corrected, low.spoiled) == (0.5, 0.0)
    assert (high.right, high.corrected, high.spoiled) == (0.0, None, 1.0)


def test_wilsons_interval() -> None:
    # Published example values for z = 1.96.
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-3)
    for count in range(1, 400):
        assert wilson(0, count)[0] == 0.0
        assert wilson(count, count)[1] == 1.0


def test_methods_are_compared_on_the_same_examples_and_seeds(model: Model) -> None:
    examples = [Example(f"question {number}", "t", number) for number in range(5)]
    held = HeldOutSet(StartsLow(), ((0, 4),), "none", ruled=True)
    names: list[str] = []
    columns = compare_methods(held, examples, model, model, attempts=3, seed=7, begin=names.append)
    alone = "autoregressive, trained alone"
    assert list(columns) == ["diffusion", "up to 3 attempts", "autoregressive", alone] == names
    diffusion = evaluate(model, held.task, examples, seed=7)
    assert columns["diffusion"] == diffusion
    assert columns["up to 3 attempts"] == retry(model, held.task, diffusion, 3, seed=7)
    decoded = evaluate(model, held.task, examples, seed=7, method="autoregressive")
    assert columns["autoregressive"] == columns[alone] == decoded


def test_each_attempt_has_its_own_seed_and_temperature(model: Model) -> None:
    class Never(StartsLow):
        def check(self, example: Example, text: str) -> bool:
            seen.append(text)
            return False

    seen: list[str] = []
    examples = [Example(f"question {number}", "t", number) for number in range(3)]
    first = evaluate(model, Never(), examples, seed=40)
    seen.clear()
    again = retry(model, Never(), first, 3, seed=40)
    expected = []
    for attempt, factor in ((1, 1.3), (2, 0.8)):
        for number, example in enumerate(examples):
            messages = [{"role": "user", "content": example.prompt}]
            seed = 40 + 1000 * attempt + number
            temperature = model.generation_config.temperature * factor
            events = list(model.stream(messages=messages, seed=seed, temperature=temperature))
            first_draft = next(event for event in events if isinstance(event, Draft))
            expected += [events[-1].text, first_draft.text]
    assert sorted(seen) == sorted(expected)
    assert [one.text for one in again] == [one.text for one in first]
