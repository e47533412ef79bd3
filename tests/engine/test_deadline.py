"""Deadline: the best draft so far is the result."""

from __future__ import annotations

import pytest

from redraft.api import Model
from redraft.editing import Infilled, plan_infill
from redraft.editing.template import Hole, Template
from redraft.engine import Engine, Request
from redraft.events import Committed, Completed, Draft, Finished
from redraft.testing import byte_tokenizer, tiny_model

ENDLESS = {
    "confidence_threshold": 1e-9, "stability_threshold": 1000, "max_denoising_steps": 2000,
    "max_new_tokens": 100, "seed": 3, "eos_token_id": (),
}  # fmt: skip
OVER, FAR = 0.0, float("inf")


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(tiny_model(seed=1), byte_tokenizer())


def text_request(model: Model, **options: object) -> Request:
    config = model.processor.text_settings(ENDLESS | options, constrained=False)
    return Request.checked([2, 70, 71], config, model.config)


def test_a_text_whose_time_is_over_is_its_first_draft(model: Model) -> None:
    engine = Engine(model.network, model.tokenizer)
    engine.add(text_request(model), deadline=OVER)
    draft, committed, finished = engine.run()
    assert isinstance(draft, Draft)
    assert isinstance(committed, Committed)
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.tokens) == ("time", draft.tokens)
    assert finished.text == committed.text == draft.text
    assert finished.statistics.forwards == 1


def test_a_deadline_that_is_not_reached_changes_nothing(model: Model) -> None:
    texts = []
    for deadline in (None, FAR):
        engine = Engine(model.network, model.tokenizer)
        engine.add(text_request(model, max_denoising_steps=3), deadline=deadline)
        *_, finished = engine.run()
        assert isinstance(finished, Finished)
        texts.append((finished.reason, finished.tokens, finished.text))
    assert texts[0] == texts[1]
    assert texts[0][0] == "length"


def test_a_canvas_that_has_settled_is_kept_and_no_other_begins(model: Model) -> None:
    engine = Engine(model.network, model.tokenizer)
    engine.add(text_request(model, max_denoising_steps=1), deadline=OVER)
    *_, finished = engine.run()
    assert isinstance(finished, Finished)
    assert finished.reason == "time"
    assert len(finished.tokens) == model.config.canvas_length


def test_left_to_right_a_deadline_ends_the_text_behind_its_first_token(model: Model) -> None:
    engine = Engine(model.network, model.tokenizer)
    config = model.processor.text_settings({"max_new_tokens": 9, "seed": 3}, constrained=False)
    request = Request.checked([2, 70], config, model.config, method="autoregressive")
    engine.add(request, deadline=OVER)
    *_, finished = engine.run()
    assert isinstance(finished, Finished)
    assert (finished.reason, len(finished.tokens)) == ("time", 1)


@pytest.mark.parametrize("width", [3, 70])
def test_holes_hold_their_best_drafts(model: Model, width: int) -> None:
    """A wide hole has canvases that were not reached: they stay empty."""
    template = Template.of(["ab", Hole(1, width), "cd"])
    plan = plan_infill(model.processor, template, None, ENDLESS | {"max_candidates": 2})
    engine = Engine(model.network, model.tokenizer)
    engine.add(plan, deadline=OVER)
    events = list(engine.run())
    (completed,) = [event for event in events if isinstance(event, Completed)]
    filled = completed.result
    assert isinstance(filled, Infilled)
    assert filled.settled is False
    assert filled.text == f"ab{filled.fills[0]}cd"
    assert {one.steps for one in filled.candidates} == {1}
    texts = [event.text for event in events if isinstance(event, Draft)]
    assert filled.text in texts


def test_a_hole_that_has_settled_says_so(model: Model) -> None:
    template = Template.of(["ab", Hole(1, 3), "cd"])
    plan = plan_infill(model.processor, template, None, {"max_denoising_steps": 2, "seed": 1})
    engine = Engine(model.network, model.tokenizer)
    engine.add(plan, deadline=FAR)
    *_, completed = engine.run()
    assert isinstance(completed, Completed)
    assert completed.result.settled is True
