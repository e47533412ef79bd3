"""The examples of recipes/finetune/punctuated.py are right, and none that is held out is learnt."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from redraft.tasks.arithmetic import OPERATIONS
from redraft.train.finetune.config import FinetuneConfig
from redraft.train.finetune.records import Conversation, RecordFile

RECIPES = Path(__file__).parents[3] / "recipes" / "finetune"


def script() -> Any:
    spec = importlib.util.spec_from_file_location("punctuated", RECIPES / "punctuated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def value(text: str) -> int:
    """Work out `17+25-03` from left to right."""
    found, rest = int(text[:2]), text[2:]
    while rest:
        found, rest = OPERATIONS[rest[0]](found, int(rest[1:3])), rest[3:]
    return found


def said(path: Path) -> list[tuple[str, str]]:
    records = RecordFile(path)
    found = []
    for at in range(len(records)):
        record = records[at]
        assert isinstance(record, Conversation)
        asked, answered = (one["content"] for one in record.messages)
        found.append((asked, answered))
    return found


def test_the_examples_are_right_and_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script()
    for name, count in (("NEW", 60), ("OLD", 20), ("SUDOKUS", 2), ("HELD_OUT", 3)):
        monkeypatch.setattr(module, name, count)
    module.main(tmp_path)
    learnt, new, old, sudoku = (
        said(tmp_path / f"{name}.jsonl") for name in ("train", "new", "old", "sudoku")
    )
    assert [len(one) for one in (learnt, new, old, sudoku)] == [82, 3, 3, 3]
    shown = [(prompt, answer) for prompt, answer in (*learnt, *new) if prompt.startswith("list ")]
    assert len(shown) == 63
    for prompt, answer in shown:
        result, chain = answer.removesuffix(".").split(":")
        steps = [step.split("=") for step in chain.split(",")]
        assert all(value(left) == int(right) for left, right in steps)
        assert value(prompt.removeprefix("list ")) == int(result) == int(steps[-1][1])
    known = {prompt.split(" ")[1] for prompt, _ in learnt if not prompt.startswith("sudoku")}
    assert not known & {prompt.split(" ")[1] for prompt, _ in (*new, *old)}


def test_the_recipe_is_a_config() -> None:
    config = FinetuneConfig.from_file(RECIPES / "punctuated.toml")
    assert config.lora is not None
    assert config.lora.rank == 5
