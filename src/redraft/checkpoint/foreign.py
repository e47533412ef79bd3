"""Foreign folders: what else a folder or a file may be, and which command takes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from redraft.errors import CheckpointError, UnsafeFormatError
from redraft.text.plain_file import is_file, is_there

GGUF = b"GGUF"
# By their first bytes.
ARCHIVES = {
    b"PK\3\4": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zX": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstandard archive",
}
ORBAX = "it is one of Orbax, as JAX writes them: get the weights in safetensors"


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
    if path.name.endswith(".json"):
        raise CheckpointError(f"{path} is one file of a checkpoint: name its folder, {path.parent}")
    begin = _begin(path)
    if kind := next((kind for bytes_, kind in ARCHIVES.items() if begin.startswith(bytes_)), None):
        raise CheckpointError(f"{path} is {kind}: unpack it, and name the folder in it")
    if path.suffix.lower() != ".gguf" and begin != GGUF:
        raise CheckpointError(
            f"{path} is no checkpoint: that is a folder with config.json, or a GGUF file"
        )


def _begin(path: Path) -> bytes:
    """Return the first bytes of a file; none where it cannot be read."""
    if not is_file(path):
        return b""
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError:
        return b""


def check_weights(folder: Path) -> None:
    """Check that a folder with a config.json, but without safetensors, has nothing else.

    Raises:
        CheckpointError: it has weights of another kind.
    """
    names = sorted(path.name for path in folder.iterdir())
    if files := [name for name in names if name.lower().endswith(".gguf")]:
        raise CheckpointError(f"{folder} has GGUF files: name one, such as {folder / files[0]}")
    if _is_orbax(folder, names):
        raise CheckpointError(f"{folder}: {ORBAX}")


def _is_orbax(folder: Path, names: Sequence[str]) -> bool:
    if {"_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt"} & set(names):
        return True
    return any(is_file(folder / name / "manifest.ocdbt") for name in names)


def _kind(folder: Path) -> str:
    """Say what a folder without config.json is, and what to do with it."""
    names = sorted(path.name for path in folder.iterdir())
    if "adapters.safetensors" in names:
        return "it is an adapter in MLX's format: those of PEFT are read, get it in that"
    if "adapter_config.json" in names:
        return (
            f"it is an adapter. `redraft merge MODEL {folder} OUT` adds it to a model's weights, "
            "and Model.with_adapter or `redraft serve --adapter` use it as it is"
        )
    if files := [name for name in names if name.endswith(".gguf")]:
        return f"it has GGUF files: name one, such as {folder / files[0]}"
    if _is_orbax(folder, names):
        return ORBAX
    if "model_index.json" in names:
        return "it is a pipeline of diffusers, which is another kind of model"
    if "checkpoint" in names or "adapter" in names:
        inside = "checkpoint" if "checkpoint" in names else "adapter"
        return f"it is the folder of a training run: name {folder / inside}"
    inner = [name for name in names if (folder / name / "config.json").exists()]
    if inner:
        return f"it has no config.json, and the folder in it has one: name {folder / inner[0]}"
    if any(name.endswith(".safetensors") for name in names):
        return "it has weights and no config.json: copy that of the original beside them"
    return "it has no config.json" if names else "it is empty, and has no config.json"
