"""A model's card, in its folder, in Python, in `inspect` and on the server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import redraft
from redraft.config import ModelCard
from redraft.config.model_card import CARD_FILE
from redraft.errors import ConfigError

CARD = {
    "purpose": "sums",
    "tasks": [
        {"name": "sums", "description": "add", "prompts": ["1+1"], "templates": ["1+<hole>"]}
    ],
    "surprise_limit": 2.5,
}


def test_a_card_comes_back_as_it_was_written() -> None:
    card = ModelCard.from_dict(CARD)
    assert ModelCard.from_dict(json.loads(json.dumps(card.to_dict()))) == card
    assert card.knows("sums")
    assert not card.knows("sudoku")
    assert card.forms() == ["1+1", "1+<hole>"]


@pytest.mark.parametrize(("change", "message"), [
    ({"purpose": ""}, "purpose"),
    ({"tasks": []}, "at least one task"),
    ({"tasks": ["sums"]}, "must be an object"),
    ({"tasks": [{"name": "a", "description": "b", "prompts": "c"}]}, "list of texts"),
    ({"tasks": [{"name": "a", "description": "b", "form": []}]}, "no 'form'"),
    ({"surprise_limit": 0}, "surprise_limit"),
    ({"limit": 3}, "no 'limit'"),
])  # fmt: skip
def test_a_wrong_card_says_what_is_wrong(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelCard.from_dict(CARD | change)


def test_a_card_stays_with_the_weights(checkpoint: Path, tmp_path: Path) -> None:
    assert redraft.load(checkpoint).card is None
    folder = tmp_path / "carded"
    shutil.copytree(checkpoint, folder)
    (folder / CARD_FILE).write_text(json.dumps(CARD))
    model = redraft.load(folder)
    assert model.card == ModelCard.from_dict(CARD)
    model.save(tmp_path / "copy")
    assert redraft.load(tmp_path / "copy").card == model.card


def test_the_models_that_ship_have_cards() -> None:
    """With a task that each command needs."""
    cards = [redraft.load(name).card for name in ("small", "small-text")]
    known = {task.name for card in cards if card is not None for task in card.tasks}
    assert known >= {"sudoku", "arithmetic", "infill", "rewrite", "edits", "wiki"}
