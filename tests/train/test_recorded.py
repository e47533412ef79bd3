"""States of earlier versions resume, and settings are compared by what they mean."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from redraft.tasks import Arithmetic
from redraft.testing import tiny_config
from redraft.testing.byte_tokenizer import byte_tokenizer
from redraft.text import ChatTemplate
from redraft.text.chat_template import TURN_TEMPLATE
from redraft.train import Recipe, Trainer
from redraft.train.recipe import TaskShare
from redraft.train.recorded import is_recorded_as
from redraft.train.trainer import STATE

# Written by version 0.1.0 after four of six updates of this recipe; the last two had these losses.
RECORDED = Path(__file__).parent / "states" / "0.1.0.safetensors"
NEXT_LOSSES = (4.4189934730529785, 5.331234931945801)
NEXT_ENCODER_LOSS = 6.034701824188232
RECIPE = Recipe(
    model=tiny_config(
        canvas_length=16, hidden_size=8, intermediate_size=8, moe_intermediate_size=4,
        num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=4,
        global_head_dim=4, num_experts=4,
    ),
    tasks=(TaskShare(Arithmetic(1, 1), 1.0),),
    steps=6, batch_size=4, prefix_length=32, warm_up=2, log_every=1,
)  # fmt: skip


def resumed(folder: Path, recipe: Recipe) -> Trainer:
    template = ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"})
    return Trainer(recipe, byte_tokenizer(), template, folder)


def test_a_state_of_version_0_1_0_goes_on_as_it_would_have_then(tmp_path: Path) -> None:
    shutil.copy(RECORDED, tmp_path / STATE)
    run = resumed(tmp_path, RECIPE)
    assert run.step == 4
    rows = list(run.run())
    # Products are in bfloat16, whose sums differ between processors.
    assert [row["loss"] for row in rows] == pytest.approx(NEXT_LOSSES, rel=1e-2)
    assert rows[0]["encoder_loss"] == pytest.approx(NEXT_ENCODER_LOSS, rel=1e-2)


def test_a_state_of_version_0_1_0_belongs_to_its_recipe_alone(tmp_path: Path) -> None:
    shutil.copy(RECORDED, tmp_path / STATE)
    for changes in ({"seed": 1}, {"matrix_lr": 0.03}, {"prefix_weight": 0.5}):
        with pytest.raises(Exception, match="another recipe"):
            resumed(tmp_path, replace(RECIPE, **changes))


@dataclass(frozen=True)
class Inner:
    number: float
    word: str = "a"


@dataclass(frozen=True)
class Outer:
    inner: Inner
    rows: tuple[Inner, ...] = ()
    table: dict[str, int] = field(default_factory=dict)
    hidden: int = field(default=0, repr=False)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Outer(inner=Inner(number=-1.5, word='a'), rows=(Inner(2),), table={'x': 1})", False),
        ("Outer(inner=Inner(number=-1.5, word='a'), rows=[Inner(number=2)], table={'x': 1})", True),
        ("Outer(inner=Inner(number=-1.5), rows=[Inner(number=2)], table={'x': 1})", True),
        ("Outer(inner=Inner(number=-1.5), rows=(), table={'x': 1})", False),
        ("Outer(inner=Inner(number=1.5), rows=(Inner(number=2),), table={'x': 1})", False),
        ("Outer(inner=Inner(number=-1.5), rows=(Inner(number=2),), table={'x': 2})", False),
        ("Outer(inner=Inner(number=-1.5), rows=(Inner(number=2),), table={'y': 1})", False),
        ("Outer(inner=Inner(number=-1.5), rows=(Inner(number=2),))", False),
        ("Outer(inner=Inner(number=-1.5), rows=(Inner(number=2),), table={'x': 1}, z=1)", False),
        ("Other(inner=Inner(number=-1.5), rows=(Inner(number=2),), table={'x': 1})", False),
        ("Outer(inner=Inner(word='a'), rows=(Inner(number=2),), table={'x': 1})", False),
        ("Outer(inner=-1.5, rows=(Inner(number=2),), table={'x': 1})", False),
        ("Outer(inner=Inner(number=nan), rows=(Inner(number=2),), table={'x': 1})", False),
        ("Outer(", False),
    ],
)  # fmt: skip
def test_settings_are_those_that_a_text_says(text: str, same: bool) -> None:
    value = Outer(Inner(-1.5), (Inner(2),), {"x": 1}, hidden=3)
    assert is_recorded_as(value, text) is same
    assert is_recorded_as(value, repr(value))
