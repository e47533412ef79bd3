from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import redraft
from redraft.errors import ConfigError
from redraft.tasks import Arithmetic
from redraft.testing import tiny_config
from redraft.testing.byte_tokenizer import byte_tokenizer
from redraft.text import ChatTemplate
from redraft.text.chat_template import TURN_TEMPLATE
from redraft.train import Recipe, Trainer
from redraft.train.export import export_state
from redraft.train.recipe import TaskShare


def test_a_run_that_goes_on_can_be_exported(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.save(tmp_path)
    recipe = Recipe(
        model=tiny_config(canvas_length=24),
        tasks=(TaskShare(Arithmetic(1, 1), 1.0),),
        steps=5,
        batch_size=2,
        prefix_length=32,
        tokenizer=str(tmp_path),
    )
    template = ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"})
    trainer = Trainer(recipe, tokenizer, template, tmp_path / "run")
    trainer._update()
    trainer.step = 1
    trainer.save_state()
    assert export_state(recipe, tmp_path / "run", tmp_path / "out") == 1
    model = redraft.load(tmp_path / "out", dtype="bfloat16", device="cpu")
    for name, tensor in model.network.state_dict().items():
        assert tensor.dtype == torch.bfloat16
        torch.testing.assert_close(tensor, trainer.average[name].bfloat16(), rtol=0, atol=0)
    with pytest.raises(ConfigError, match="another recipe"):
        export_state(replace(recipe, seed=5), tmp_path / "run", tmp_path / "other")
    unnamed = replace(recipe, tokenizer="")
    with pytest.raises(ConfigError, match="tokenizer"):
        export_state(unnamed, tmp_path / "run", tmp_path / "other")
    assert export_state(unnamed, tmp_path / "run", tmp_path / "other", str(tmp_path / "out")) == 1
    assert redraft.load(tmp_path / "other", device="cpu").tokenizer is not None
