from __future__ import annotations

import random

import pytest

from redraft.tasks import Arithmetic, Sudoku, Wiki
from redraft.tasks.verdict import verdict


@pytest.mark.parametrize("task", [Arithmetic(), Wiki(), Sudoku()], ids=lambda one: one.name)
def test_a_tasks_own_answers_are_right_and_other_texts_wrong(task) -> None:
    rng = random.Random(5)
    for _ in range(10):
        example, other = task.draw(rng), task.draw(rng)
        assert verdict(example.prompt, example.answer) is True
        assert verdict(example.prompt, other.answer) is task.check(example, other.answer)
        assert verdict(example.prompt, "") is False


@pytest.mark.parametrize(
    "prompt",
    ["", "calc", "calc 1+2", "calc 17+", "a haiku", "sudoku 12", "wiki Nowhere (full)",
     "wiki Cordunia (colour)", "fill python"],
)  # fmt: skip
def test_what_no_checker_knows_has_no_verdict(prompt: str) -> None:
    assert verdict(prompt, "12") is None
