"""The models that ship with the package: small enough, whole, readable by others, and able."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

import redraft
from redraft.checkpoint import open_checkpoint
from redraft.checkpoint.load import stored_dtype
from redraft.checkpoint.source import SHIPPED
from redraft.evals import SETS, evaluate
from redraft.tasks.task import held_out
from tests.command import call
from tests.parity.test_files import logits_of_both

FOLDER = Path(redraft.__file__).parent / "small"
# Well below what is measured in docs/small-models.md: (set, least and most difficulty, floor).
FLOORS = [
    pytest.param("sudoku", 28, 48, 0.95, marks=pytest.mark.long),
    ("arithmetic", 2, 6, 0.9),
    ("infill", 1, 3, 0.7),
    ("edits", 1, 4, 0.8),
]


def test_they_are_small_and_their_card_says_what_they_are() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 16e6
    card = (FOLDER / "README.md").read_text()
    for word in (
        "license: apache-2.0",
        "**Data.**",
        "**Recipe.**",
        "**Machine.**",
        "**Figures.**",
        "**Limits.**",
    ):
        assert word in card


@pytest.mark.parametrize("name", SHIPPED)
def test_they_have_every_trait_of_the_architecture(name: str) -> None:
    model = redraft.load(name)
    assert {layer.keys_are_values for layer in model.config.layers} == {True, False}
    assert {layer.sliding_window is None for layer in model.config.layers} == {True, False}
    assert model.config.num_experts >= 8
    assert model.config.top_k_experts == 2
    assert model.config.final_logit_softcapping
    assert model.network.self_conditioning.down_proj.weight.abs().max() > 0
    assert stored_dtype(open_checkpoint(name)) == torch.bfloat16


@pytest.mark.parametrize("name", SHIPPED)
def test_transformers_reads_them_whole_and_agrees(name: str) -> None:
    ours, theirs = logits_of_both(SHIPPED[name])
    assert (ours - theirs).abs().max() < 1e-3
    tokenizer, own = AutoTokenizer.from_pretrained(SHIPPED[name]), redraft.load(name).tokenizer
    for text in (
        "sudoku 0120",
        "def total(items):\n    return 3",
        "h\u00e9llo",
        "<h1>Cordunia</h1>",
    ):
        assert tokenizer.encode(text, add_special_tokens=False) == own.encode(text, bos=False)


@pytest.mark.parametrize(("name", "least", "most", "floor"), FLOORS)
def test_they_are_able(name: str, least: int, most: int, floor: float) -> None:
    held = SETS[name]
    examples = [
        example for example in held_out(held.task, 120) if least <= example.difficulty <= most
    ][:20]
    outcomes = evaluate(redraft.load(held.model), held.task, examples, batch_size=20)
    assert len(outcomes) == 20
    assert sum(outcome.right for outcome in outcomes) >= floor * len(outcomes)


def test_a_puzzle_is_solved_from_the_command_line() -> None:
    example = next(
        example for example in held_out(SETS["sudoku"].task, 60) if example.difficulty <= 30
    )
    done = call("sudoku", example.prompt.removeprefix("sudoku "), "--json", "--attempts", "4")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["valid"]
    assert told["solution"] == example.answer
