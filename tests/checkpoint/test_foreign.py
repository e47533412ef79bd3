"""Folders and files that are something else say what they are, and what takes them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from redraft.checkpoint import open_checkpoint
from redraft.errors import CheckpointError, ConfigError


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["adapter_config.json", "adapter_model.safetensors"], "it is an adapter. `redraft merge"),
        (["x-Q4_K_M.gguf", "x-Q8_0.gguf", "README.md"], "GGUF files: name one, such as"),
        (["_METADATA", "d/x"], "Orbax"),
        (["manifest.ocdbt"], "Orbax"),
        (["adapter/adapter_config.json", "metrics.jsonl"], "training run: name"),
        (["checkpoint/config.json", "state.safetensors"], "training run: name"),
        (["snapshot/config.json", "notes.txt"], "the folder in it has one: name"),
        (["tokenizer.json"], "it has no config.json"),
        ([], "it is empty"),
    ],
)
def test_a_folder_without_a_config_is_named(tmp_path: Path, files: list[str], told: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(CheckpointError, match="is no checkpoint") as found:
        open_checkpoint(tmp_path)
    assert told in str(found.value)


def test_a_folder_of_mlx_of_another_model_is_named(tmp_path: Path, checkpoint: Path) -> None:
    shutil.copytree(checkpoint, tmp_path / "mlx")
    config = json.loads((checkpoint / "config.json").read_text())
    config |= {"quantization": {"group_size": 64, "bits": 4}, "model_type": "gemma4"}
    (tmp_path / "mlx" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="model_type is 'gemma4'"):
        open_checkpoint(tmp_path / "mlx")
    config |= {"quantization": 4, "model_type": "diffusion_gemma"}
    (tmp_path / "mlx" / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="quantization=4 must be an object"):
        open_checkpoint(tmp_path / "mlx")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("model.safetensors", "name its folder"),
        ("pytorch_model.bin", "is a pickle"),
        ("x.pt", "is a pickle"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / name).write_bytes(b"\0" * 64)
    with pytest.raises(CheckpointError, match=told):
        open_checkpoint(tmp_path / name)
