"""A fine-tuning in two processes, whose weights FSDP2 divides, is the run of one."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import redraft
from redraft.adapters import LoraConfig
from redraft.adapters.attach import weights_of
from redraft.checkpoint import Quantization
from redraft.errors import ConfigError
from redraft.network import DiffusionGemma, place_weight
from redraft.testing import byte_tokenizer, tiny_checkpoint, tiny_model
from redraft.train import launcher, parallel
from redraft.train.finetune.config import FinetuneConfig
from redraft.train.finetune.encode import RecordEncoder
from redraft.train.finetune.records import RecordFile
from redraft.train.finetune.trainer import ADAPTER, STATE, FinetuneTrainer
from redraft.train.metrics import METRICS, read_metrics
from tests.command import LOADED

# Rates are so small that a rounding cannot turn an update of AdamW around.
CONFIG = FinetuneConfig(
    lora=LoraConfig(rank=4, targets=("attention",)), steps=2, batch_size=2, accumulate=2,
    learning_rate=1e-5, clip=1e9, save_every=1, log_every=1, eval_every=2,
)  # fmt: skip
WHOLE = "whole.safetensors"
EVERYWHERE = LoraConfig(rank=4, targets=("attention", "dense", "experts", "self_conditioning"))
# Of a quantized base, all else is in bfloat16, as it mostly is.
CASES = {
    "lora": CONFIG,
    "int8": replace(CONFIG, lora=EVERYWHERE, checkpointed=False),
    "full": replace(CONFIG, lora=None, ema=0.5, clip=1.0),
}


def trainer(folder: Path, name: str) -> FinetuneTrainer:
    """Return the run of a case; its evaluation looks at a weight as a whole."""
    network = tiny_model(3, vocab_size=384, hidden_size=64, num_hidden_layers=2)
    if name == "int8":
        quantize(network.to(torch.bfloat16))
    encoder = RecordEncoder(byte_tokenizer(), None, network.config, (106, 1))
    data = RecordFile(folder / "data.jsonl")

    def looked_at(run: FinetuneTrainer) -> dict[str, object]:
        return {"eval": {"sum": float(run.network.norm.weight.detach().sum())}}

    return FinetuneTrainer(CASES[name], network, encoder, data, folder / name, evaluate=looked_at)


def quantize(network: DiffusionGemma) -> None:
    quantization = Quantization("int8")
    for name, weight in list(weights_of(network)):
        if quantization.covers(name, weight.shape):
            place_weight(network, name, quantization.quantize(name, weight, torch.bfloat16))


def make_run(folder: Path, names: tuple[str, ...]) -> None:
    """Make the runs of some cases, in this process or in all.

    Of several processes, that of `full` is cut and resumed.
    """
    for name in names:
        run = trainer(folder, name)
        for _ in run.run():
            if name == "full" and run.step == 1 and parallel.world_size() > 1:
                run.save_state()
                parallel.any_process(False)  # the first process has written it
                run = trainer(folder, name)
                assert run.step == 1
                list(run.run())
                break
        if CASES[name].lora is not None:
            run.save_adapter()
            continue
        with run.whole() as network:
            if not parallel.rank():
                save_file(network.state_dict(), folder / name / WHOLE)


def quick_and_long() -> list[Any]:
    return [("lora",), pytest.param(("int8", "full"), marks=pytest.mark.long)]


def write_data(folder: Path) -> None:
    folder.mkdir()
    lines = [{"prompt": f"{number}:", "completion": f"{number + 1}"} for number in range(9)]
    (folder / "data.jsonl").write_text("\n".join(json.dumps(line) for line in lines))


@pytest.mark.parametrize("names", quick_and_long())
def test_two_processes_make_the_losses_and_weights_of_one(
    tmp_path: Path, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Forked from one that has loaded torch, they cost half as much.
    monkeypatch.setattr(parallel, "START", "forkserver")
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(LOADED))
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        write_data(folder)
    make_run(one, names)
    parallel.run_in_processes(2, make_run, two, names)
    for name in names:
        compare(one, two, name)


def compare(one: Path, two: Path, name: str) -> None:
    """Compare the run of one process with that of two: metrics, state, weights, adapter."""
    near = 3e-2 if name == "int8" else 1e-4  # bfloat16 rounds sums over all rows otherwise
    rows = [read_metrics(folder / name / METRICS) for folder in (one, two)]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]] == [0, 1, 2]
    for ours, theirs in zip(*rows, strict=True):
        assert ours.get("eval") == pytest.approx(theirs.get("eval"))
        if ours["step"]:
            for key in ("loss", "encoder_loss"):
                assert ours[key] == pytest.approx(theirs[key], rel=near / 10)
            levels = zip(ours["loss_by_level"], theirs["loss_by_level"], strict=True)
            assert all(a == b or a == pytest.approx(b, rel=near) for a, b in levels)
    files = [STATE, f"{ADAPTER}/adapter_model.safetensors" if CASES[name].lora else WHOLE]
    for file in files:
        ours, theirs = (load_file(folder / name / file) for folder in (one, two))
        assert ours.keys() == theirs.keys()
        for key, tensor in ours.items():
            apart = (tensor.float() - theirs[key].float()).abs()
            if key.startswith("optimizer."):
                assert apart.max() <= near * tensor.abs().max(), key
            else:
                # AdamW makes an update of the rate's size of a gradient that is a rounding alone.
                same = apart <= 0.05 * CONFIG.learning_rate
                assert same.float().mean() > (0.9 if name == "int8" else 0.99), key


def launch(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_what_a_launcher_says_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    launch(monkeypatch)
    assert launcher.launched() == 0
    launcher.check_not_launched()
    launch(monkeypatch, RANK="1", WORLD_SIZE="3", LOCAL_RANK="1")
    assert launcher.launched() == 3
    parallel.check_processes(1, 6)
    with pytest.raises(ConfigError, match="processes=3 must divide batch_size=8"):
        parallel.check_processes(1, 8)
    with pytest.raises(ConfigError, match="a launcher started 3 of this command: leave out one"):
        parallel.check_processes(2, 6)
    with pytest.raises(ConfigError, match="leave out torchrun"):
        launcher.check_not_launched()
    launch(monkeypatch, RANK="first", WORLD_SIZE="2")
    with pytest.raises(ConfigError, match="RANK=first"):
        launcher.launched()
    launch(monkeypatch, RANK="2", WORLD_SIZE="2")
    with pytest.raises(ConfigError, match="RANK=2, WORLD_SIZE=2"):
        launcher.launched()
    launch(monkeypatch, RANK="0", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT="no")
    with pytest.raises(ConfigError, match="the 2 processes do not find each other"):
        parallel.run_in_processes(1, list)


def test_each_process_of_a_launcher_has_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    launch(monkeypatch)
    assert launcher.own_device("auto", 1) == "auto"
    assert launcher.own_device("cpu", 2) == "cpu"
    with pytest.raises(ConfigError, match="torchrun --nproc-per-node 2"):
        launcher.own_device("auto", 2)
    launch(monkeypatch, RANK="1", WORLD_SIZE="4", LOCAL_RANK="1")
    assert launcher.own_device("auto", 1) == launcher.own_device("cuda", 1) == "cuda:1"
    assert chosen == [1, 1]
    with pytest.raises(ConfigError, match="'cuda:0'"):
        launcher.own_device("cuda:0", 1)
    launch(monkeypatch, RANK="2", WORLD_SIZE="4", LOCAL_RANK="2")
    with pytest.raises(ConfigError, match="here process 2 of 2 CUDA devices"):
        launcher.own_device("auto", 1)


@pytest.mark.long
@pytest.mark.parametrize("full", [False, True])
def test_torchrun_makes_the_run_of_one_and_goes_on_after_a_kill(tmp_path: Path, full: bool) -> None:
    write_data(tmp_path / "work")
    model = tiny_checkpoint(tmp_path / "model", 3)
    command = [
        "-m", "redraft", "finetune", "-m", str(model), "--data",
        str(tmp_path / "work" / "data.jsonl"), "--dtype", "float32", "--batch-size", "2",
        "--learning-rate", "1e-5", "--config", str(tmp_path / "config.toml"),
    ] + ["--full"] * full  # fmt: skip
    (tmp_path / "config.toml").write_text("save_every = 2\nclip = 1e9\n")
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    one = [sys.executable, *command, "--steps", "12", "--out", str(tmp_path / "one")]
    assert subprocess.run(one, check=False).returncode == 0
    out = tmp_path / "two"
    cut = subprocess.Popen([*two, *command, "--steps", "12", "--out", str(out)])
    while not (out / STATE).exists():
        assert cut.poll() is None
        time.sleep(0.05)
    child = subprocess.run(
        ["pgrep", "-P", str(cut.pid)], capture_output=True, text=True, check=True
    )
    os.kill(int(child.stdout.split()[0]), signal.SIGKILL)
    assert cut.wait(120) != 0
    again = [*two, *command, "--steps", "12", "--out", str(out), "--resume"]
    assert subprocess.run(again, check=False).returncode == 0
    rows = [read_metrics(folder / METRICS) for folder in (tmp_path / "one", out)]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    for ours, theirs in zip(*rows, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
    states = [load_file(folder / STATE) for folder in (tmp_path / "one", out)]
    for key, tensor in states[0].items():
        scale = max(1.0, float(tensor.abs().max()))
        assert torch.allclose(tensor, states[1][key], atol=1e-4 * scale, rtol=1e-2), key
    if full:
        assert redraft.load(out / "checkpoint").generate("a", seed=1, max_new_tokens=2).tokens
