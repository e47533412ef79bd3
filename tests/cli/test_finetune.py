"""`redraft finetune` and `redraft merge` as a user runs them, on a tiny model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import redraft
from redraft.testing import byte_tokenizer, tiny_model
from redraft.text import ChatTemplate
from redraft.text.chat_template import TURN_TEMPLATE
from tests.command import call


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "model"
    template = ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"})
    config = redraft.GenerationConfig(max_new_tokens=8, max_denoising_steps=3)
    redraft.Model(tiny_model(2, vocab_size=384), byte_tokenizer(), template, config).save(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    lines = [
        {
            "messages": [
                {"role": "user", "content": f"{n}?"},
                {"role": "assistant", "content": "yes"},
            ]
        }
        for n in range(8)
    ] + [{"template": "a<hole>c", "fills": ["b"]}, {"prompt": "x", "completion": "y"}]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


SMALL = ("--steps", "4", "--batch-size", "2", "--lora-rank", "2")


def test_from_examples_to_a_merged_checkpoint(model: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = ("finetune", "-m", str(model), "--data", str(data), "--out", str(out), *SMALL)
    done = call(*run, "--eval", str(data))
    assert done.returncode == 0, done.stderr
    assert "before training\n  train: 0% exact of 10" in done.stdout
    assert re.search(r"train +\d+% -> \d+% +\d+% -> \d+% +\d\.\d -> \d\.\d", done.stdout)
    assert "10 records, update 0 of 4" in done.stdout
    assert "update      4  loss" in done.stdout
    assert "train: " in done.stdout
    assert "exact of 10" in done.stdout
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["eval"]["train"]["count"]) for row in rows] == [(0, 10), (4, 10)]
    merged = call("merge", str(model), str(out / "adapter"), str(tmp_path / "merged"))
    assert merged.returncode == 0, merged.stderr
    base = redraft.load(model)
    adapted, whole = base.with_adapter(out / "adapter"), redraft.load(tmp_path / "merged")
    options = {"seed": 1, "max_new_tokens": 8}
    said = [{"role": "user", "content": "3?"}]
    before = base.generate(messages=said, **options).tokens
    assert (
        adapted.generate(messages=said, **options).tokens
        == whole.generate(messages=said, **options).tokens
    )
    assert base.generate(messages=said, **options).tokens == before
    weight = "layers.0.self_attn.q_proj.weight"
    assert not torch.equal(base.network.state_dict()[weight], whole.network.state_dict()[weight])
    again = call("merge", str(tmp_path / "merged"), str(out / "adapter"), str(tmp_path / "twice"))
    assert again.returncode == 2
    assert "add it twice" in again.stderr
    assert not (tmp_path / "twice").exists()
    refused = call(*run)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--resume continues it" in refused.stderr
    longer = call(*run, "--resume", "--steps", "5")
    assert longer.returncode == 0, longer.stderr
    assert "update 4 of 5" in longer.stdout


def test_all_weights(model: Path, data: Path, tmp_path: Path) -> None:
    done = call(
        "finetune", "-m", str(model), "--data", str(data), "-o", str(tmp_path / "run"), "--full",
        "--steps", "2", "--batch-size", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trained = redraft.load(tmp_path / "run" / "checkpoint")
    assert trained.generate("a", seed=1, max_new_tokens=2).tokens


def test_a_dry_run_shows_what_would_be_learnt(model: Path, data: Path) -> None:
    done = call("finetune", "-m", str(model), "--data", str(data), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "the canvas begins behind" in done.stdout
    assert "yes<turn|>" in done.stdout
    assert "with noise, t = 0." in done.stdout


@pytest.mark.parametrize(("arguments", "message"), [
    ((), "--out names the folder"),
    (("-o", "run", "--target", "heads"), "'heads' matches no weight"),
    (("-o", "run", "--full", "--lora-rank", "3"), "leave out one of them"),
    (("-o", "run", "--steps", "0"), "steps=0"),
    (("-o", "run", "--resume"), "holds no run to resume"),
    (("-o", "run", "--config", "no.toml"), "no.toml cannot be read"),
    (("-o", "run", "--eval", "no.jsonl"), "no.jsonl cannot be read"),
])  # fmt: skip
def test_misuse_is_one_line_before_any_training(
    model: Path, data: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    given = [str(tmp_path / one) if one in ("run",) else one for one in arguments]
    done = call("finetune", "-m", str(model), "--data", str(data), *given)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_record_that_is_too_long_is_told_before_any_training(
    model: Path, data: Path, tmp_path: Path
) -> None:
    run = ("finetune", "-m", str(model), "--data", str(data), *SMALL, "--max-length", "12")
    data.write_text(
        data.read_text() + json.dumps({"prompt": "p" * 90, "completion": "c"}).join("\n\n")
    )
    refused = call(*run, "-o", str(tmp_path / "run"))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "line 1: the prompt alone has" in refused.stderr
    longer = call(*run[:-1], "40", "-o", str(tmp_path / "run"), "--skip-bad")
    assert longer.returncode == 0, longer.stderr
    assert "left out line 11: the prompt alone has 91 tokens" in longer.stdout
    assert "10 records" in longer.stdout
    data.write_text(json.dumps({"prompt": "p", "completion": "c" * 90}))
    cut = call(*run[:-1], "40", "-o", str(tmp_path / "other"))
    assert "1 of 1 records are cut to 40 tokens" in cut.stdout


def test_a_bad_line_is_named_or_left_out(model: Path, data: Path, tmp_path: Path) -> None:
    data.write_text(data.read_text() + "\n{\n")
    run = ("finetune", "-m", str(model), "--data", str(data), "--dry-run")
    refused = call(*run)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "line 11: it is not JSON" in refused.stderr
    assert "left out line 11" in call(*run, "--skip-bad").stdout


@pytest.mark.long
def test_two_processes_make_the_run_of_one(model: Path, data: Path, tmp_path: Path) -> None:
    """Rates are so small that a rounding cannot turn an update around."""
    losses = []
    for count in ("1", "2"):
        out = tmp_path / count
        done = call(
            "finetune", "-m", str(model), "--data", str(data), "-o", str(out), *SMALL,
            "--processes", count, "--learning-rate", "1e-4", "--dtype", "float32",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        tensors = load_file(out / "state.safetensors")
        losses.append({name: one for name, one in tensors.items() if name.endswith("exp_avg")})
    for name, one in losses[0].items():
        assert torch.allclose(one, losses[1][name], atol=1e-5), name
