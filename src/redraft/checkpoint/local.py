"""Checkpoints that are on this machine: those that ship with the package, and those of the hub's
cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from redraft.checkpoint.hub import cached_models
from redraft.checkpoint.mlx_config import is_mlx
from redraft.checkpoint.source import SHIPPED
from redraft.config.model_card import CARD_FILE, ModelCard
from redraft.errors import ConfigError
from redraft.quant.affine import METHOD

MODEL_TYPE = "diffusion_gemma"


@dataclass(frozen=True)
class LocalCheckpoint:
    """A checkpoint that needs no download.

    Attributes:
        name: what `redraft.load` takes. path: its folder.
        nbytes: of its files. quantization: the method that its config names; None for whole
            weights.
        purpose: one sentence, of its card; empty for a model of general use.
    """

    name: str
    path: Path
    nbytes: int
    quantization: str | None
    purpose: str


def local_checkpoints() -> Iterator[LocalCheckpoint]:
    """Yield the DiffusionGemmas that are here; folders that cannot be read are left out."""
    for name, folder in SHIPPED.items():
        if (found := _read(name, folder)) is not None:
            yield found
    for name, folder in _cached():
        if (found := _read(name, folder)) is not None:
            yield found


def _cached() -> Iterator[tuple[str, Path]]:
    """Yield name and newest folder of each model in the hub's cache."""
    for repo in cached_models():
        if repo.revisions:
            newest = max(repo.revisions, key=lambda revision: revision.last_modified)
            yield repo.repo_id, newest.snapshot_path


def _read(name: str, folder: Path) -> LocalCheckpoint | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(config, dict) or config.get("model_type") != MODEL_TYPE:
        return None
    described = config.get("quantization_config")
    method = described.get("quant_method", "unknown") if isinstance(described, dict) else None
    if is_mlx(config.get("quantization")) or is_mlx(described):
        method = METHOD
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return LocalCheckpoint(name, folder, size, method, _purpose(folder / CARD_FILE))


def _purpose(card: Path) -> str:
    try:
        return ModelCard.from_dict(json.loads(card.read_text(encoding="utf-8"))).purpose
    except (OSError, ValueError, ConfigError):
        return ""
