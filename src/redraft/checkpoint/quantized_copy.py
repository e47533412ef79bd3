"""A quantized copy of a checkpoint, streamed: one matrix and one shard are in memory. Killed, it goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import save_file
from torch import Tensor

from redraft.checkpoint.folder import SAMPLING_FILE, Checkpoint, read_json
from redraft.checkpoint.load import layout_of, stored_dtype
from redraft.checkpoint.names import is_vision, to_file
from redraft.checkpoint.quantize import EXPERTS, Quantization
from redraft.checkpoint.save import CARRIED, write_json
from redraft.checkpoint.shards import INDEX, ShardReader
from redraft.errors import CheckpointError
from redraft.model import DiffusionGemma

SUMS = "checksums.sha256"  # as sha256sum writes it: `sha256sum -c` checks a folder
STATE = "quantizing.json"
Shape = tuple[int, ...]


class Reader(Protocol):
    """Where whole weights come from."""

    def read(self, name: str) -> Tensor:
        """A tensor by its name in a file."""
        ...

    def read_part(self, name: str, index: int) -> Tensor:
        """One of the parts along a tensor's first dimension."""
        ...


@dataclass(frozen=True)
class Source:
    """What is to be quantized. shapes: of the model's weights, by its names. others: tensors that are copied as they are. said:
    the config. files: whatever else belongs to it. name: told apart by a copy that goes on."""

    reader: Reader
    shapes: Mapping[str, Shape]
    dtype: torch.dtype
    said: dict[str, Any]
    others: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    name: str = ""


def source_of(checkpoint: Checkpoint, reader: Reader) -> Source:
    """A checkpoint whose weights are whole.

    Raises:
        CheckpointError: some are in few bits already. TensorMismatchError: they do not make the model.
    """
    with torch.device("meta"):
        model = DiffusionGemma(checkpoint.config)
    layout = layout_of(checkpoint, model)
    told = [
        weight.target for weight in layout.weights if weight.experts or (weight.matrix and weight.matrix.scheme.name != "plain")
    ]
    if told:
        raise CheckpointError(f"{checkpoint.folder} is in few bits already ({told[0]} and others): quantize the original")
    files = [checkpoint.folder / name for name in (*CARRIED, "generation_config.json", SAMPLING_FILE)]
    return Source(
        reader,
        {weight.target: tuple(model.get_parameter_or_buffer(weight.target).shape) for weight in layout.weights},
        stored_dtype(checkpoint),
        read_json(checkpoint.folder / "config.json"),
        tuple(filter(is_vision, checkpoint.tensors)),
        tuple(path for path in files if path.exists()),
        str(checkpoint.folder.resolve()),
    )
