"""The Python API, used wrongly: every error is of redraft's own, says what was wrong, and comes
before any work."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import redraft
from redraft import Hole, Model, RedraftError
from redraft.editing import Template
from redraft.events import Finished

SAID = [{"role": "user", "content": "a"}]


@pytest.fixture(scope="module")
def tiny(checkpoint: Path) -> Model:
    return redraft.load(checkpoint)


@pytest.mark.parametrize(("call", "message"), [
    (lambda model: model.infill(None), "not NoneType"),
    (lambda model: model.infill(3), "not int"),
    (lambda model: model.infill(b"a <hole>"), "not of int"),
    (lambda model: model.infill([3]), "not of int"),
    (lambda model: model.infill(Template(("a",), (Hole(),))), "one text more"),
    (lambda model: model.infill(Template(("a", "b"), ("c",))), "has Holes"),
    (lambda model: model.infill("a <hole>", max_candidates=10**9), "at most 256"),
    (lambda model: model.infill(["a", Hole(10**9, 10**9)]), "the context holds"),
    (lambda model: model.infill("a <hole>", method="autoregressive", sampler="klass"), "no canvas"),
    (lambda model: list(model.stream_infill("a <hole>", method="fast")), "must be 'diffusion'"),
    (lambda model: model.rewrite("abc", 3), "list of pairs"),
    (lambda model: model.rewrite("abc", [3]), "list of pairs"),
    (lambda model: model.rewrite("abc", [(1.5, 2)]), "list of pairs"),
    (lambda model: model.rewrite("abc", [(0, 1, 2)]), "list of pairs"),
    (lambda model: model.rewrite(3, [(1, 2)]), "must be a str"),
    (lambda model: model.insert("abc", "1"), "list of pairs"),
    (lambda model: model.insert(None, 1), "must be a str"),
    (lambda model: model.repair(None), "must be a str"),
    (lambda model: model.repair("abc", sampler="klas"), "klass"),
    (lambda model: model.edit(None), "must be a str"),
    (lambda model: model.edit("abc").replace("a", 1, "b"), "list of pairs"),
    (lambda model: model.edit("abc").replace(0, 1, None), "must be a str"),
    (lambda model: model.generate("a", method=[]), "must be 'diffusion'"),
    (lambda model: model.generate(SAID), "give it as messages="),
    (lambda model: model.generate([SAID, SAID]), "give it as messages="),
    (lambda model: model.generate(messages=[SAID, SAID]), "messages are one conversation"),
    (lambda model: model.generate(messages=SAID, thinking="yes"), "must be True, False"),
    (lambda model: model.generate(messages=SAID, chat_template_kwargs=3), "names to values"),
    (lambda model: redraft.load(None), "is no checkpoint"),
    (lambda model: redraft.load(""), "is no checkpoint"),
    (lambda model: redraft.load("small", device=None), "device=None"),
    (lambda model: redraft.load("small", device=[]), "cannot be used here"),
])  # fmt: skip
def test_a_wrong_argument_is_told(tiny: Model, call: Callable[[Model], Any], message: str) -> None:
    with pytest.raises(RedraftError, match=message):
        call(tiny)


def test_a_hole_may_be_said_to_be_larger_than_the_context(tiny: Model) -> None:
    wide = tiny.infill(["a", Hole(1, 10**9), "b"], max_candidates=2, max_denoising_steps=2, seed=1)
    assert [candidate.widths for candidate in wide.candidates] == [(1,)]


def test_numbers_of_numpy_are_numbers(tiny: Model) -> None:
    options: dict[str, Any] = {"temperature": 0.5, "max_new_tokens": 4, "seed": 7}
    of_numpy = {
        "temperature": np.float32(0.5), "max_new_tokens": np.int64(4), "seed": np.uint8(7),
    }  # fmt: skip
    assert tiny.generate([2], **of_numpy).tokens == tiny.generate([2], **options).tokens


def test_token_ids_may_be_a_tensor_or_an_array_and_so_may_a_batch(tiny: Model) -> None:
    options: dict[str, Any] = {"max_new_tokens": 4, "seed": 7}
    ids = [2, 5, 9]
    one = tiny.generate(ids, **options).tokens
    assert tiny.generate(torch.tensor(ids), **options).tokens == one
    assert tiny.generate(np.array(ids), **options).tokens == one
    for batch in ([np.array(ids), np.array([2])], [torch.tensor(ids), torch.tensor([2])]):
        assert tiny.generate(batch, **options)[0].tokens == one
    events = tiny.stream(torch.tensor([ids, ids]), **options)
    ended = [event for event in events if isinstance(event, Finished)]
    assert [event.tokens for event in ended] == [one, one]


def test_a_copy_of_a_model_writes_the_same(tiny: Model) -> None:
    other = copy.deepcopy(tiny)
    assert other.network is not tiny.network
    options: dict[str, Any] = {"max_new_tokens": 4, "seed": 7}
    assert other.generate("ab", **options).tokens == tiny.generate("ab", **options).tokens


def test_a_repair_can_have_another_sampler(tiny: Model) -> None:
    """With a stop that never agrees, each candidate takes every step."""
    steps = [
        tiny.repair(
            "ab cd", seed=1, rounds=1, max_noised=1, max_denoising_steps=3,
            sampler=sampler, stopping=stopping,
        ).steps
        for sampler, stopping in ((None, "every_position:max_entropy=99"), ("top_k", None))
    ]  # fmt: skip
    assert steps == [1, 3]
