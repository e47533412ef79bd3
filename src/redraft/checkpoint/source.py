"""Checkpoint: a folder, local or from the hub, or a GGUF file, with its configs read and its
tensors listed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redraft.checkpoint.gguf.config import configs_of
from redraft.checkpoint.gguf.header import Header, read_header
from redraft.checkpoint.shards import TensorInfo, tensor_infos
from redraft.config import GenerationConfig, ModelConfig
from redraft.config.file import model_config_from_dict
from redraft.errors import CheckpointError

# Sampling options beyond the reference's, in a file of their own: it refuses keys that it does not
# know.
SAMPLING_FILE = "redraft_generation.json"
QUANT_METHODS = ("compressed-tensors", "modelopt")
COMPRESSED_FORMATS = (
    "float-quantized", "int-quantized", "naive-quantized", "pack-quantized", "nvfp4-pack-quantized", "mixed-precision", "dense",
)  # fmt: skip
WANTED = ("*.json", "*.safetensors", "*.jinja")


# Models that are part of this package, by name; a folder of that name is ./small.
SMALL = Path(__file__).parent.parent / "small"
SHIPPED = {"small": SMALL / "puzzles", "small-text": SMALL / "text"}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose every description is read, and none of its weights.

    `problems` says what is wrong with its shards; loading names them together with what is wrong
    with the tensors. `gguf` is the header of a GGUF file; `folder` is then where the file lies.
    """

    folder: Path
    config: ModelConfig
    generation_config: GenerationConfig
    tensors: dict[str, TensorInfo]
    problems: tuple[str, ...] = ()
    gguf: Header | None = None

    @property
    def path(self) -> Path:
        """What was opened: the folder, or the GGUF file."""
        return self.gguf.path if self.gguf else self.folder


def open_checkpoint(path_or_id: str | Path, *, revision: str | None = None) -> Checkpoint:
    """Find a checkpoint and read its descriptions.

    Args:
        path_or_id: a local folder or GGUF file; `small` or `small-text`, the models that ship with
            this package; or a hub id such as `google/diffusiongemma-26B-A4B-it`, which is
            downloaded once and then found offline.
        revision: branch, tag or commit on the hub.

    Raises:
        CheckpointError: not found, or not readable. ConfigError: a config that this engine cannot
            run.
    """
    try:
        folder = Path(path_or_id).expanduser()
    except RuntimeError as error:
        raise CheckpointError(f"{path_or_id} cannot be found: {error}") from error
    if str(path_or_id) in SHIPPED:
        folder = SHIPPED[str(path_or_id)]
    elif folder.is_file() or folder.suffix == ".gguf":
        return _open_gguf(folder)
    elif not folder.is_dir():
        folder = _from_hub(str(path_or_id), revision)
    raw_config = read_json(folder / "config.json")
    if quantization := raw_config.get("quantization_config"):
        _check_quantization(folder, quantization)
    config = model_config_from_dict(raw_config)
    raw: dict[str, Any] = {}
    for name in ("generation_config.json", SAMPLING_FILE):
        if (folder / name).exists():
            raw |= read_json(folder / name)
    for key, own in (
        ("eos_token_id", list(config.eos_token_id)),
        ("pad_token_id", config.pad_token_id),
    ):
        raw[key] = own if raw.get(key) is None else raw[key]
    generation = GenerationConfig.from_dict(raw)
    tensors, problems = tensor_infos(folder)
    return Checkpoint(folder, config, generation, tensors, tuple(problems))


def _open_gguf(path: Path) -> Checkpoint:
    header = read_header(path)
    config, generation, problems = configs_of(header)
    return Checkpoint(
        path.parent, config, generation, dict(header.tensors), tuple(problems), header
    )


def _check_quantization(folder: Path, given: Any) -> None:
    """Whether a folder's own words about its quantization name a format that is read.

    Raises:
        CheckpointError: they do not.
    """
    method = given.get("quant_method", "?") if isinstance(given, dict) else given
    if method not in QUANT_METHODS:
        raise CheckpointError(
            f"{folder} is quantized by {method}: files of {' and '.join(QUANT_METHODS)} are read, and GGUF"
        )
    if method == "compressed-tensors" and (form := given.get("format")) not in COMPRESSED_FORMATS:
        raise CheckpointError(
            f"{folder} is quantized as {form}: {', '.join(COMPRESSED_FORMATS)} are read"
        )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file, or a CheckpointError that names the file."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist: a checkpoint folder needs it") from error
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} holds a {type(raw).__name__}, not an object")
    return raw


def _from_hub(repo_id: str, revision: str | None) -> Path:
    if repo_id.count("/") != 1 or repo_id.startswith((".", "/", "~")):
        raise CheckpointError(
            f"{repo_id!r} is no folder that exists, no hub id of the form owner/name, and not one of {', '.join(SHIPPED)}"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=list(WANTED)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{repo_id} is not on this machine and could not be downloaded: {error}"
        ) from error
