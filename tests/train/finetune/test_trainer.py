"""A fine-tuning: it learns, resumes to the bit, keeps its last good state, and writes its result."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from redraft.adapters import LoraConfig, adapters_of, load_adapter
from redraft.checkpoint import Quantization
from redraft.errors import CheckpointError, ConfigError, DataError, NonFiniteError
from redraft.network import DiffusionGemma, place_weight
from redraft.testing import byte_tokenizer, tiny_config, tiny_model
from redraft.train.finetune.config import FinetuneConfig
from redraft.train.finetune.encode import RecordEncoder
from redraft.train.finetune.records import RecordFile
from redraft.train.finetune.trainer import STATE, FinetuneTrainer
from redraft.train.metrics import METRICS, read_metrics

CONFIG = FinetuneConfig(
    lora=LoraConfig(rank=4, targets=("attention", "dense", "experts")),
    steps=6, batch_size=4, learning_rate=0.02, warm_up=1, log_every=2, save_every=2, eval_every=3,
)  # fmt: skip
SHAPE = tiny_config(vocab_size=384)


@pytest.fixture
def data(tmp_path: Path) -> RecordFile:
    path = tmp_path / "data.jsonl"
    lines = [{"prompt": f"{number}:", "completion": f"{number + 1}"} for number in range(9)]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return RecordFile(path)


def trainer(
    data: RecordFile, folder: Path, config: FinetuneConfig = CONFIG, **more: Any
) -> FinetuneTrainer:
    network = tiny_model(3, vocab_size=384)
    encoder = RecordEncoder(byte_tokenizer(), None, network.config, (106, 1))
    return FinetuneTrainer(config, network, encoder, data, folder, base="tiny", **more)


def weights(run: FinetuneTrainer) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in run.trained.items()}


def test_a_run_learns_and_the_base_stays_as_it_was(data: RecordFile, tmp_path: Path) -> None:
    run = trainer(data, tmp_path / "run", replace(CONFIG, steps=40, log_every=10))
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    rows = list(run.run())
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
    for name, tensor in run.network.state_dict().items():
        assert ("lora" in name) or torch.equal(tensor, before[name])
    assert read_metrics(tmp_path / "run" / METRICS) == rows
    folder = run.save_adapter()
    fresh = tiny_model(3, vocab_size=384)
    load_adapter(folder).attach(fresh)
    for name, one in adapters_of(fresh).items():
        assert torch.equal(one.lora_b, adapters_of(run.network)[name].lora_b)


DROPPED = LoraConfig(rank=4, targets=("attention", "dense"), dropout=0.5)


@pytest.mark.parametrize("changes", [{"lora": DROPPED}, {"lora": None, "ema": 0.9, "log_every": 3}])
def test_a_resumed_run_is_the_unbroken_one(
    data: RecordFile, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = replace(CONFIG, **changes)
    whole = trainer(data, tmp_path / "whole", config)
    rows = list(whole.run())
    broken = trainer(data, tmp_path / "broken", config)
    for _ in broken.run():
        if broken.step == 3:  # a row was logged after the state of step 2 was saved
            break
    again = trainer(data, tmp_path / "broken", config)
    assert again.step == 2
    list(again.run())
    with whole.whole(), again.whole():
        for name, tensor in weights(whole).items():
            assert torch.equal(tensor, weights(again)[name]), name
    kept = read_metrics(tmp_path / "broken" / METRICS)
    assert [row["step"] for row in kept] == [row["step"] for row in rows]
    for key in ("loss", "loss_by_level", "encoder_loss"):
        assert [row[key] for row in kept] == [row[key] for row in rows]


def test_small_batches_accumulated_are_a_large_one(data: RecordFile, tmp_path: Path) -> None:
    """By the mean gradient, which AdamW holds."""
    once = replace(CONFIG, steps=1)
    small = trainer(data, tmp_path / "a", replace(once, batch_size=2, accumulate=2))
    large = trainer(data, tmp_path / "b", once)
    assert list(small.run())[-1]["loss"] == pytest.approx(list(large.run())[-1]["loss"])
    means = [[state["exp_avg"] for state in run.optimizer.state.values()] for run in (small, large)]
    for one, other in zip(*means, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_evaluations_are_in_the_metrics(data: RecordFile, tmp_path: Path) -> None:
    run = trainer(data, tmp_path / "run", evaluate=lambda run: {"eval": {"at": run.step}})
    found = [row.get("eval") for row in run.run()]
    assert found == [{"at": 0}, None, {"at": 3}, None, {"at": 6}]


def test_an_average_is_what_is_evaluated_and_written(data: RecordFile, tmp_path: Path) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    config = replace(CONFIG, ema=0.5, steps=2, log_every=1, eval_every=2)
    run = trainer(
        data, tmp_path / "run", config, evaluate=lambda run: seen.append(weights(run)) or {}
    )
    expected = weights(run)
    for row in run.run():
        if row["step"]:
            decay = min(0.5, row["step"] / (9 + row["step"]))
            for name, tensor in weights(run).items():
                expected[name] = decay * expected[name] + (1 - decay) * tensor
    last = weights(run)
    for name, tensor in expected.items():
        torch.testing.assert_close(seen[-1][name], tensor)
    assert any(not torch.equal(last[name], seen[-1][name]) for name in last)
    fresh = tiny_model(3, vocab_size=384)
    load_adapter(run.save_adapter()).attach(fresh)
    written = adapters_of(fresh)["layers.0.self_attn.q_proj.weight"].lora_b
    assert torch.equal(written, seen[-1]["layers.0.self_attn.q_proj.weight.lora_b"])
    assert all(torch.equal(tensor, last[name]) for name, tensor in weights(run).items())


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Refuse to write more than so many bytes into a file, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_last_state_whole(data: RecordFile, tmp_path: Path) -> None:
    run = trainer(data, tmp_path / "run")
    rows = run.run()
    while next(rows)["step"] < 3:
        pass
    kept = (tmp_path / "run" / STATE).read_bytes()
    with full_disk(20_000):
        with pytest.raises(CheckpointError, match=r"cannot be written: .*that was there is kept"):
            list(rows)
        with pytest.raises(CheckpointError, match=r"adapter cannot be written"):
            run.save_adapter()
    assert (tmp_path / "run" / STATE).read_bytes() == kept
    assert trainer(data, tmp_path / "run").step == 2


def test_nan_stops_and_keeps_the_last_good_state(data: RecordFile, tmp_path: Path) -> None:
    run = trainer(data, tmp_path / "run")
    rows = run.run()
    while next(rows)["step"] < 3:
        pass
    kept = (tmp_path / "run" / STATE).read_bytes()
    with torch.no_grad():
        next(iter(run.trained.values())).fill_(torch.nan)
    with pytest.raises(NonFiniteError, match="lower learning_rate"):
        list(rows)
    assert (tmp_path / "run" / STATE).read_bytes() == kept


def test_a_folder_of_another_run_is_refused(data: RecordFile, tmp_path: Path) -> None:
    list(trainer(data, tmp_path / "run").run())
    with pytest.raises(ConfigError, match="another learning_rate"):
        trainer(data, tmp_path / "run", replace(CONFIG, learning_rate=0.1))
    longer = trainer(data, tmp_path / "run", replace(CONFIG, steps=8))
    assert longer.step == 6


def test_all_weights_of_a_quantized_model_are_not_trained(data: RecordFile, tmp_path: Path) -> None:
    network = quantized(tiny_model(3, vocab_size=384, hidden_size=64))
    encoder = RecordEncoder(byte_tokenizer(), None, network.config, (106,))
    with pytest.raises(ConfigError, match="are quantized"):
        FinetuneTrainer(replace(CONFIG, lora=None), network, encoder, data, tmp_path / "run")


def quantized(network: DiffusionGemma) -> DiffusionGemma:
    from redraft.adapters.attach import weights_of

    quantization = Quantization("int8")
    for name, weight in list(weights_of(network)):
        if quantization.covers(name, weight.shape):
            place_weight(network, name, quantization.quantize(name, weight, torch.float32))
    return network


def test_a_record_without_anything_to_learn_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps({"prompt": "a" * 2000, "completion": "b"}))
    run = trainer(RecordFile(path), tmp_path / "run")
    with pytest.raises(DataError, match=r"record 1: .*nothing of the answer"):
        list(run.run())


@pytest.mark.parametrize(("options", "message"), [
    ({"stepz": 1}, "no setting 'stepz'"),
    ({"lora": {"rang": 1}}, "no setting 'rang'"),
    ({"lora": {"rank": 0}}, "rank=0"),
    ({"full": True, "lora": {"rank": 2}}, "leave out one"),
    ({"ema": 1}, "ema=1"),
    ({"loss_on": "some"}, "all or last"),
    ({"steps": 0}, "steps=0"),
    ({"learning_rate": 0}, "learning_rate"),
    ({"checkpointed": 1}, "true or false"),
])  # fmt: skip
def test_a_wrong_setting_says_so(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        FinetuneConfig().with_options(options)


def test_a_file_sets_what_options_set(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("steps = 5\n[lora]\nrank = 2\ntargets = ['experts']\n")
    config = FinetuneConfig.from_file(path)
    assert (config.steps, config.lora) == (5, LoraConfig(rank=2, targets=("experts",)))
    assert config.with_options({"full": True}).lora is None
    path.write_text("steps = ")
    with pytest.raises(ConfigError, match="cannot be read"):
        FinetuneConfig.from_file(path)


def test_the_rate_rises_and_falls_to_a_tenth() -> None:
    config = FinetuneConfig(steps=100, warm_up=10)
    rates = [config.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 11)
    assert max(rates) == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0.1 < rates[-1] < 0.101
