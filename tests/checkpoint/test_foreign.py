"""Folders and files that are something else say what they are, and what takes them."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from redraft.adapters import load_adapter
from redraft.checkpoint import Quantization, load_weights, open_checkpoint
from redraft.checkpoint.convert import convert
from redraft.cli.app import app
from redraft.errors import CheckpointError, ConfigError, UnsafeFormatError
from redraft.testing import tiny_checkpoint


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
        (["default/manifest.ocdbt"], "Orbax"),
        (["adapter_config.json", "adapters.safetensors"], "adapter in MLX's format"),
        (["model_index.json"], "pipeline of diffusers"),
        (["x.safetensors"], "weights and no config.json"),
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
        ("config.json", "name its folder"),
        ("pytorch_model.bin", "is a pickle"),
        ("x.pt", "is a pickle"),
        ("notes.txt", "is no checkpoint"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / name).write_bytes(b"\0" * 64)
    with pytest.raises(CheckpointError, match=told) as found:
        open_checkpoint(tmp_path / name)
    assert isinstance(found.value, UnsafeFormatError) == ("pickle" in told)


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(CheckpointError, match="is a zip archive: unpack it"):
        open_checkpoint(tmp_path / "model.zip")


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("x-Q4_K_M.gguf", "GGUF files: name one"),
        ("_METADATA", "Orbax"),
        ("pytorch_model.bin", "pickled"),
        ("notes.txt", "neither model.safetensors.index.json nor"),
    ],
)
def test_other_weights_beside_a_config_are_named(
    tmp_path: Path, checkpoint: Path, file: str, told: str
) -> None:
    shutil.copy(checkpoint / "config.json", tmp_path)
    (tmp_path / file).write_bytes(b"GGUF")
    with pytest.raises(CheckpointError, match=told):
        open_checkpoint(tmp_path)


def test_a_checkpoint_is_no_adapter(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="is a checkpoint, not an adapter"):
        load_adapter(checkpoint)


def shards_in(folder: Path, place: str) -> Path:
    """A checkpoint whose index places each shard in `place`."""
    tiny_checkpoint(folder, max_shard_bytes=60_000, num_hidden_layers=2, num_experts=2)
    index = folder / "model.safetensors.index.json"
    raw = json.loads(index.read_text())
    raw["weight_map"] = {name: place + file for name, file in raw["weight_map"].items()}
    index.write_text(json.dumps(raw))
    return folder


def test_shards_may_lie_in_a_folder_of_the_folder(tmp_path: Path) -> None:
    folder = shards_in(tmp_path / "model", "weights/part/")
    (folder / "weights" / "part").mkdir(parents=True)
    for file in folder.glob("*.safetensors"):
        file.rename(folder / "weights" / "part" / file.name)
    assert not open_checkpoint(folder).problems
    load_weights(open_checkpoint(folder))


@pytest.mark.parametrize("place", ["../", "/etc/", "a/../../", "C:\\", "C:/"])
def test_no_shard_lies_outside_the_folder(tmp_path: Path, place: str) -> None:
    with pytest.raises(CheckpointError, match="places tensors outside its folder"):
        open_checkpoint(shards_in(tmp_path / "model", place))


@pytest.mark.parametrize("name", ["gguf", "q4_k", "Q8_0", "iq4_xs"])
def test_that_no_gguf_is_written_is_said_with_its_reason(name: str) -> None:
    with pytest.raises(ConfigError, match="GGUF, which is read and not written"):
        Quantization(name)


def test_inspect_says_why_a_checkpoint_cannot_be_loaded(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "model", num_hidden_layers=2, num_experts=2)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.\x1b[2J"] = tensors.pop("model.decoder.norm.weight")
    save_file(tensors, folder / "model.safetensors")
    done = CliRunner().invoke(app, ["inspect", str(folder), "--tensors"])
    assert done.exit_code == 0, done.output
    told = done.output.replace("\n", "")
    assert "it cannot be loaded (2):" in told
    assert "model.decoder.norm.weight is missing" in told
    assert "\x1b" not in told


@pytest.mark.parametrize("name", ["BF16", "fp16", "F32", "INT8"])
def test_formats_have_short_and_upper_names(name: str, tmp_path: Path, checkpoint: Path) -> None:
    convert(open_checkpoint(checkpoint), tmp_path / "out", name)
