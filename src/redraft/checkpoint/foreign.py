"""Foreign folders: what else a folder or a file may be, and which command takes it."""

from __future__ import annotations

from pathlib import Path

from redraft.errors import CheckpointError, UnsafeFormatError
from redraft.text.plain_file import is_there


def check_folder(folder: Path) -> None:
    """Check that a folder has a config.json.

    Raises:
        CheckpointError: it has none; the message says what the folder is instead.
    """
    if is_there(folder / "config.json"):
        return
    raise CheckpointError(f"{folder} is no checkpoint: {_kind(folder)}")


def check_file(path: Path) -> None:
    """Check that a file can be a GGUF file, by its name.

    Raises:
        CheckpointError: it is a file of another kind. UnsafeFormatError: it is a pickle.
    """
    if path.suffix == ".safetensors":
        raise CheckpointError(f"{path} is one file of a checkpoint: name its folder, {path.parent}")
    if path.suffix in (".bin", ".pt", ".pth", ".ckpt"):
        raise UnsafeFormatError(
            f"{path} is a pickle, which can run code: weights come from safetensors or GGUF"
        )


def _kind(folder: Path) -> str:
    """Say what a folder without config.json is, and what to do with it."""
    names = sorted(path.name for path in folder.iterdir())
    if "adapter_config.json" in names:
        return (
            f"it is an adapter. `redraft merge MODEL {folder} OUT` adds it to a model's weights, "
            "and Model.with_adapter or `redraft serve --adapter` use it as it is"
        )
    if files := [name for name in names if name.endswith(".gguf")]:
        return f"it has GGUF files: name one, such as {folder / files[0]}"
    if {"_METADATA", "manifest.ocdbt"} & set(names):
        return "it is one of Orbax, as JAX writes them: get the weights in safetensors"
    if "checkpoint" in names or "adapter" in names:
        inside = "checkpoint" if "checkpoint" in names else "adapter"
        return f"it is the folder of a training run: name {folder / inside}"
    inner = [name for name in names if (folder / name / "config.json").exists()]
    if inner:
        return f"it has no config.json, and the folder in it has one: name {folder / inner[0]}"
    return "it has no config.json" if names else "it is empty, and has no config.json"
