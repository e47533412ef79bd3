"""Checkpoint: a folder, local or from the hub, or a GGUF file; its configs and its headers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redraft.checkpoint.foreign import check_file, check_folder
from redraft.checkpoint.gguf.config import configs_of
from redraft.checkpoint.gguf.header import Header
from redraft.checkpoint.gguf.split import read_headers
from redraft.checkpoint.hub import download, is_hub_id
from redraft.checkpoint.quantized_by import Quantized, quantized_by
from redraft.checkpoint.shards import TensorInfo, tensor_infos
from redraft.config import GenerationConfig, ModelConfig
from redraft.config.file import model_config_from_dict
from redraft.config.model_card import CARD_FILE, ModelCard
from redraft.config.special_tokens import SPECIAL_TOKENS
from redraft.errors import CheckpointError, ConfigError
from redraft.text.plain_file import is_there, read_json

# Sampling options that the reference does not have. They are in a file of their own, because it
# refuses unknown keys.
SAMPLING_FILE = "redraft_generation.json"
# Models that are part of this package, by name. A folder of that name is ./small.
SMALL = Path(__file__).parent.parent / "small"
SHIPPED = {"small": SMALL / "puzzles", "small-text": SMALL / "text", "small-sight": SMALL / "sight"}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, described by its configs and headers. No weight is read.

    Attributes:
        folder: of a GGUF file, the folder that it is in.
        tensors: by their names in the file.
        problems: a sentence for each problem of its shards. Loading reports them together with the
            problems of the tensors.
        gguf: the header of a GGUF file; None for a folder.
        card: the tasks that the model was trained for; None for a model of general use.
        quantization: what the config says of quantized weights; None where it says nothing.
    """

    folder: Path
    config: ModelConfig
    generation_config: GenerationConfig
    tensors: dict[str, TensorInfo]
    problems: tuple[str, ...] = ()
    gguf: Header | None = None
    quantization: Quantized | None = None
    card: ModelCard | None = None

    @property
    def path(self) -> Path:
        """The folder, or the GGUF file."""
        return self.gguf.path if self.gguf else self.folder


def open_checkpoint(path_or_id: str | Path, *, revision: str | None = None) -> Checkpoint:
    """Find a checkpoint and read its configs and headers.

    Args:
        path_or_id: a local folder or GGUF file; `small`, `small-text` or `small-sight`, the models
            that ship with this package; or a hub id such as `google/diffusiongemma-26B-A4B-it`, or
            `owner/name:Q4_K_M` or `owner/name/file.gguf` for a GGUF file. What the hub has is
            downloaded once and found offline afterwards.
        revision: branch, tag or commit on the hub.

    Raises:
        CheckpointError: it is not found, or cannot be read.
        ConfigError: its config is one that this engine cannot run.
    """
    if not path_or_id or not isinstance(path_or_id, str | Path):
        raise CheckpointError(f"{path_or_id!r} is no checkpoint: give a folder, a file or a hub id")
    try:
        folder = Path(path_or_id).expanduser()
    except RuntimeError as error:
        raise CheckpointError(f"{path_or_id} cannot be found: {error}") from error
    if str(path_or_id) in SHIPPED:
        folder = SHIPPED[str(path_or_id)]
    elif not folder.exists() and is_hub_id(str(path_or_id)):
        folder = download(str(path_or_id), revision)
    elif not folder.exists() and folder.suffix != ".gguf":
        raise CheckpointError(
            f"{str(path_or_id)!r} is neither an existing folder or file, nor a hub id of the form "
            f"owner/name or owner/name:Q4_K_M, nor one of {', '.join(SHIPPED)}"
        )
    if not folder.is_dir():
        check_file(folder)
        return _open_gguf(folder)
    check_folder(folder)
    raw_config = read_json(folder / "config.json")
    config = model_config_from_dict(raw_config)
    quantization = quantized_by(raw_config, folder)
    raw: dict[str, Any] = {}
    for name in ("generation_config.json", SAMPLING_FILE):
        if is_there(folder / name):
            raw |= read_json(folder / name)
    for key, own in (
        ("eos_token_id", list(config.eos_token_id)),
        ("pad_token_id", config.pad_token_id),
    ):
        raw[key] = own if raw.get(key) is None else raw[key]
    generation = GenerationConfig.from_dict(raw)
    _check_ids(config, generation)
    tensors, problems = tensor_infos(folder)
    return Checkpoint(
        folder,
        config,
        generation,
        tensors,
        tuple(problems),
        quantization=quantization,
        card=_card(folder / CARD_FILE),
    )


def _card(path: Path) -> ModelCard | None:
    return ModelCard.from_dict(read_json(path)) if is_there(path) else None


def _open_gguf(path: Path) -> Checkpoint:
    header = read_headers(path)
    config, generation, problems = configs_of(header)
    _check_ids(config, generation)
    return Checkpoint(
        header.path.parent, config, generation, dict(header.tensors), tuple(problems), header
    )


def _check_ids(config: ModelConfig, generation: GenerationConfig) -> None:
    """Check that the model has the tokens that begin, end and pad texts.

    Gemma's own ids may lie outside the vocabulary of a small model: they are the defaults.
    """
    for name, given in (
        ("bos_token_id", (config.bos_token_id,)),
        ("eos_token_id", (*config.eos_token_id, *generation.eos_token_id)),
        ("pad_token_id", (config.pad_token_id, generation.pad_token_id)),
    ):
        for token in given:
            if token is not None and token >= config.vocab_size and token not in SPECIAL_TOKENS:
                raise ConfigError(
                    f"{name}={token} lies outside the vocabulary of {config.vocab_size}: correct "
                    "config.json or generation_config.json"
                )
