from __future__ import annotations

import pytest

from redraft.api import Model
from redraft.config import GenerationConfig
from redraft.diffusion import TopKSampler
from redraft.evals import Outcome, evaluate
from redraft.evals.sets import HeldOutSet
from redraft.evals.strategies import compare_strategies, summarise_strategy
from redraft.tasks import Example
from redraft.testing import byte_tokenizer, tiny_model
from redraft.text import ChatTemplate
from redraft.text.chat_template import TURN_TEMPLATE
from tests.evals.test_evals import StartsLow


@pytest.fixture(scope="module")
def model() -> Model:
    config = GenerationConfig(max_new_tokens=16, max_denoising_steps=4, eos_token_id=())
    template = ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"})
    return Model(tiny_model(2), byte_tokenizer(), template, config)


def test_each_row_is_that_of_writing_with_its_strategies(model: Model) -> None:
    examples = [Example(f"question {number}", "t", number) for number in range(5)]
    held = HeldOutSet(StartsLow(), ((0, 5),), "none")
    names: list[str] = []
    stopping = [None, "stable_and_confident:stability_threshold=0,confidence_threshold=9"]
    rows = compare_strategies(
        held, examples, model, [None, "top_k"], stopping, seed=40, begin=names.append
    )
    assert names == ["", stopping[1], "top_k", f"top_k {stopping[1]}"]
    assert [(row.sampler, row.stopping) for row in rows] == [
        (None, None), (None, stopping[1]), ("top_k", None), ("top_k", stopping[1]),
    ]  # fmt: skip
    assert [row.passes for row in rows] == [4.0, 1.0, 4.0, 1.0]
    assert [row.unsettled for row in rows] == [1.0, 0.0, 1.0, 0.0]
    outcomes = evaluate(model, held.task, examples, seed=40, sampler=TopKSampler())
    for outcome, example in zip(outcomes, examples, strict=True):
        messages = [{"role": "user", "content": example.prompt}]
        number = example.difficulty
        alone = model.generate(messages=messages, seed=40 + number, sampler="top_k")
        assert (outcome.text, outcome.steps) == (alone.text, alone.statistics.forwards)
    assert rows[2].right == sum(outcome.right for outcome in outcomes) / 5


def test_the_intervals_hold_the_figures() -> None:
    example = Example("q", "a", 0)
    outcomes = [
        Outcome(example, "", right, steps, None, settled)
        for right, steps, settled in ((True, 3, True), (False, 9, False), (True, 5, True))
    ]
    row = summarise_strategy("klass", None, outcomes)
    assert row.right_low < row.right == 2 / 3 < row.right_high
    assert row.passes_low is not None
    assert row.passes_high is not None
    assert row.passes_low < row.passes == 17 / 3 < row.passes_high
    # The mean's standard error is that of three numbers with deviation 3.0551.
    assert row.passes_high - row.passes == pytest.approx(4.303 * 3.0550505 / 3**0.5)
    assert row.passes_low == 1.0  # a mean of passes is no less
    one = summarise_strategy("klass", None, outcomes[:1])
    assert (one.passes_low, one.passes_high) == (None, None)
    assert row.unsettled == 1 / 3
