"""What is on this machine: its models, what it can run, and what is missing."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from redraft.checkpoint import local, machine
from redraft.checkpoint.source import SHIPPED
from redraft.cli import doctor
from tests.command import call


@pytest.fixture
def hub(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's cache with a DiffusionGemma, another model, a dataset, and a folder that is torn."""
    for kind, name in (
        ("models", "a--tiny"), ("models", "b--other"), ("datasets", "c--rows"), ("models", "d--torn"),
    ):  # fmt: skip
        commit = tmp_path / f"{kind}--{name}" / "snapshots" / ("0" * 40)
        shutil.copytree(checkpoint, commit)
        refs = tmp_path / f"{kind}--{name}" / "refs"
        refs.mkdir()
        (refs / "main").write_text("0" * 40)
        (tmp_path / f"{kind}--{name}" / "blobs").mkdir()
    named = lambda name: tmp_path / f"models--{name}" / "snapshots" / ("0" * 40) / "config.json"  # noqa: E731
    named("b--other").write_text('{"model_type": "gemma4"}')
    named("d--torn").write_text("{")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_models_that_ship_and_those_of_the_hubs_cache_are_listed(hub: Path) -> None:
    found = {one.name: one for one in local.local_checkpoints()}
    assert list(found) == [*SHIPPED, "a/tiny"]
    assert found["a/tiny"].purpose == ""
    assert found["a/tiny"].nbytes == sum(
        file.stat().st_size for file in found["a/tiny"].path.iterdir()
    )
    assert "Sudoku" in found["small"].purpose


def test_the_list_is_a_table_and_json(hub: Path) -> None:
    done = call("models", "--json")
    assert [one["name"] for one in json.loads(done.stdout)] == [*SHIPPED, "a/tiny"], done.stderr
    assert "general use" in call("models").stdout


def test_without_a_cache_the_shipped_ones_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "nothing"))
    assert [one.name for one in local.local_checkpoints()] == list(SHIPPED)


def test_what_is_pulled_is_checked_and_what_is_not_there_is_one_line(hub: Path) -> None:
    done = call("pull", "a/tiny")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"a/tiny is here: {hub}")
    for name in ("e/none", "b/other", "d/torn"):
        done = call("pull", name)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert done.stderr.startswith("redraft: ")


def test_the_doctor_tells_what_runs_here() -> None:
    report = json.loads(call("doctor", "--json").stdout)
    assert report["torch"] == version("torch")
    cpu = report["devices"][0]
    assert cpu["free_bytes"] > 1e8
    assert cpu["threads"] >= 1
    text = call("doctor").stdout
    assert all(part in text for part in doctor.PARTS)


def test_formats_of_the_26b_are_told_by_what_is_free() -> None:
    needed = machine.bytes_of_the_26b()
    assert needed["int4"] < needed["int8"] < needed["bfloat16"]
    assert 13e9 < needed["int4"] < 18e9
    found = machine._device(torch.device("cpu"), "CPU", needed["int4"], needed)
    assert found["holds_26b_in"] == ["int4"]


def test_a_part_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.missing("serve") == []
    monkeypatch.setattr(doctor, "_is_installed", lambda name, wanted: name != "uvicorn")
    assert doctor.missing("serve") == ["uvicorn>=0.38"]
    assert doctor.missing("train") == []
    monkeypatch.undo()
    assert not doctor._is_installed("no-such-package", ">=1")
    assert not doctor._is_installed("torch", ">=999")
    assert doctor._is_installed("torch", ">=2")
