"""The model that ships with the package: small enough, whole, readable by others, and able."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

import redraft
from redraft.engine import Model
from redraft.evals import SETS, Outcome, evaluate
from redraft.tasks.task import held_out
from tests.cli.test_cli import call
from tests.parity.test_files import logits_of_both

FOLDER = Path(redraft.__file__).parent / "small"


@pytest.fixture(scope="module")
def small() -> Model:
    return redraft.load("small")


def asked(small: Model, name: str, count: int, least: int = 0, most: int = 99) -> list[Outcome]:
    held = SETS[name]
    examples = [example for example in held_out(held.task, 3 * count) if least <= example.difficulty <= most][:count]
    return evaluate(small, held.task, examples, batch_size=32)


def test_it_is_small_and_its_card_says_what_it_is() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 16e6
    card = (FOLDER / "README.md").read_text()
    for word in ("license: apache-2.0", "Data", "Recipe", "Machine", "Figures", "Limits"):
        assert word in card


def test_it_has_every_trait_of_the_architecture(small: Model) -> None:
    config = small.config
    assert {layer.keys_are_values for layer in config.layers} == {True, False}
    assert {layer.sliding_window is None for layer in config.layers} == {True, False}
    assert config.num_experts >= 8
    assert config.top_k_experts == 2
    assert config.final_logit_softcapping
    assert small.network.self_conditioning.down_proj.weight.abs().max() > 0
    assert small.network.dtype == torch.bfloat16


def test_transformers_reads_it_whole_and_agrees(small: Model) -> None:
    ours, theirs = logits_of_both(FOLDER)
    assert (ours - theirs).abs().max() < 1e-3
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    for text in ("sudoku 0120", "def total(items):\n    return 3", "h\u00e9llo", "<h1>Cordunia</h1>"):
        assert tokenizer.encode(text, add_special_tokens=False) == small.tokenizer.encode(text, bos=False)


@pytest.mark.parametrize(("name", "least", "most", "floor"), [("sudoku", 28, 34, 0.8)])
def test_it_is_able(small: Model, name: str, least: int, most: int, floor: float) -> None:
    outcomes = asked(small, name, 20, least, most)
    assert len(outcomes) == 20
    assert sum(outcome.right for outcome in outcomes) >= floor * len(outcomes)


def test_a_puzzle_is_solved_from_the_command_line() -> None:
    (example,) = [example for example in held_out(SETS["sudoku"].task, 60) if example.difficulty <= 30][:1]
    done = call("sudoku", example.prompt.removeprefix("sudoku "), "--json", "--attempts", "4")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["valid"]
    assert told["solution"] == example.answer
