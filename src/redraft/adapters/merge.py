"""Merge: add an adapter's updates to the weights, once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from redraft.adapters.attach import adapters_of
from redraft.adapters.files import TENSOR_FILE
from redraft.errors import CheckpointError
from redraft.network import DiffusionGemma, place_weight
from redraft.text.plain_file import is_there, read_any_json

# In a merged checkpoint: which adapters it has, by the hash of their tensors.
MERGED_FILE = "merged_adapters.json"


def merge(network: DiffusionGemma) -> None:
    """Put W + scale * B A in the place of every adapted weight, rounded to W's dtype, in place.

    Raises:
        CheckpointError: a weight is quantized: rounding the sum again would lose the update.
    """
    for name, weight in merged_weights(network):
        place_weight(network, name, weight)
    network.cuda_graphs.clear()


def merged_weights(network: DiffusionGemma) -> Iterator[tuple[str, Tensor]]:
    """Yield each adapted weight, by the network's name, with its update; errors as for `merge`."""
    for name, adapted in adapters_of(network).items():
        if not isinstance(adapted.base, Tensor):
            raise CheckpointError(
                f"{name} is quantized, and the sum would be rounded again: merge into the original "
                "checkpoint, then quantize that"
            )
        with torch.no_grad():
            yield name, adapted.merged().to(adapted.dtype)


def adapter_hash(folder: str | Path) -> str:
    """Return a hash of an adapter's tensors."""
    return hashlib.sha256((Path(folder).expanduser() / TENSOR_FILE).read_bytes()).hexdigest()


def check_not_merged(checkpoint: Path, adapter: str | Path) -> list[str]:
    """Return the hashes of the adapters that a checkpoint has.

    Raises:
        CheckpointError: this adapter is one of them.
    """
    path = checkpoint / MERGED_FILE
    merged = read_any_json(path) if is_there(path) else []
    if not isinstance(merged, list):
        raise CheckpointError(f"{path} holds a {type(merged).__name__}, not a list")
    if adapter_hash(adapter) in merged:
        raise CheckpointError(
            f"{checkpoint} has the adapter {adapter} in its weights: merging it again would add it "
            "twice"
        )
    return list(merged)
