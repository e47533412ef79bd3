"""Checkpoints that redraft writes, loaded by transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, DiffusionGemmaForBlockDiffusion

import redraft
from redraft.testing import tiny_checkpoint
from tests.parity.reference import saved_reference


def logits_of_both(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    reference, info = DiffusionGemmaForBlockDiffusion.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not any(info.values()), info
    model = redraft.load(folder, dtype="float32").network
    prefix, shape = torch.arange(3, 33), model.config
    canvas = torch.arange(5, 5 + shape.canvas_length)[None]
    cache = model.new_cache(30)
    with torch.inference_mode():
        model.encode([prefix], [cache])
        zeros = torch.zeros(1, shape.canvas_length, shape.hidden_size)
        ours = model.logits(model.canvas_states(canvas, [cache], zeros))
        theirs = reference.eval()(input_ids=prefix[None], decoder_input_ids=canvas).logits
    return ours, theirs


@pytest.mark.parametrize("max_shard_bytes", [5_000_000_000, 60_000])
def test_a_text_only_checkpoint_of_ours_loads_there_whole(
    tmp_path: Path, max_shard_bytes: int
) -> None:
    folder = tiny_checkpoint(tmp_path / "ours", 4, max_shard_bytes=max_shard_bytes)
    ours, theirs = logits_of_both(folder)
    assert (ours - theirs).abs().max() < 1e-4


def test_a_checkpoint_of_theirs_goes_through_us_and_back(tmp_path: Path) -> None:
    saved_reference(tmp_path / "theirs", 11)
    redraft.load(tmp_path / "theirs").save(tmp_path / "ours")
    ours, theirs = logits_of_both(tmp_path / "ours")
    assert (ours - theirs).abs().max() < 1e-4
    first = DiffusionGemmaForBlockDiffusion.from_pretrained(tmp_path / "theirs").state_dict()
    second = DiffusionGemmaForBlockDiffusion.from_pretrained(tmp_path / "ours").state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)  # the image encoder too


def test_the_generation_config_says_the_same_there(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "ours")
    theirs = DiffusionGemmaForBlockDiffusion.from_pretrained(folder).generation_config
    ours = redraft.load(folder).generation_config
    assert theirs.sampler_config.entropy_bound == ours.entropy_bound
    for name in [
        "max_new_tokens",
        "max_denoising_steps",
        "t_min",
        "t_max",
        "stability_threshold",
        "confidence_threshold",
    ]:
        assert getattr(theirs, name) == getattr(ours, name)
    assert tuple(theirs.eos_token_id) == ours.eos_token_id


def test_the_tokenizer_says_the_same_there(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "ours")
    theirs = AutoTokenizer.from_pretrained(folder)
    model = redraft.load(folder)
    messages = [
        {"role": "user", "content": "naïve 字 <b>&amp;\n"},
        {"role": "assistant", "content": "so"},
        {"role": "user", "content": "ok"},
    ]
    text = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert model.chat_prompt(messages) == theirs(text, add_special_tokens=False)["input_ids"]
