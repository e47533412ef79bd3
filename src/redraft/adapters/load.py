"""Read an adapter in PEFT's format, and check all of it: the file may come from anybody."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from redraft.adapters.attach import attach, weights_of
from redraft.adapters.config import LoraConfig
from redraft.adapters.files import (
    CONFIG_FILE,
    DECODER,
    ENCODER,
    PREFIX,
    TENSOR_FILE,
    from_file,
)
from redraft.adapters.weights import Adapted
from redraft.errors import CheckpointError, ConfigError, MemoryLimitError
from redraft.network import DiffusionGemma
from redraft.network.memory_estimate import GIB, USABLE, free_memory
from redraft.text.plain_file import check_file, is_there, read_json

Update = tuple[Tensor, Tensor]
# Settings of PEFT that change what an adapter computes, with the value that is read here.
READ_AS = {
    "use_dora": False, "bias": "none", "lora_bias": False, "fan_in_fan_out": False,
    "modules_to_save": None, "alpha_pattern": {}, "layer_replication": None,
    "trainable_token_indices": None, "megatron_config": None, "use_qalora": False,
}  # fmt: skip
# Random starts of PEFT that change the base's weights too.
CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
FLOATS = (torch.float32, torch.bfloat16, torch.float16)
# The file is read as it is, and its updates become float32.
MEMORY_FACTOR = 3
_KEY = re.compile(r"(?P<module>.+?)(?P<inner>\.base_layer)?\.lora_(?P<side>[AB])\.weight")


@dataclass(frozen=True)
class Adapter:
    """An adapter that was read.

    Attributes:
        config: its form; `targets` are the names of its weights.
        updates: A and B by the network's name of a weight: [r, K] and [N, r], or [experts, r, K]
            and [experts, N, r].
    """

    config: LoraConfig
    updates: Mapping[str, Update]

    def check(self, network: DiffusionGemma) -> None:
        """Check that a network has weights for all updates.

        Raises:
            ConfigError: the network has no such weight. CheckpointError: it has another shape.
        """
        weights = dict(weights_of(network))
        self.config.matches(weights)
        for name, (low, high) in self.updates.items():
            *count, rows, columns = weights[name].shape
            rank = self.config.rank
            if [*low.shape] != [*count, rank, columns] or [*high.shape] != [*count, rows, rank]:
                raise CheckpointError(
                    f"the adapter's update of {name} is {list(high.shape)} times "
                    f"{list(low.shape)}, the model's weight is {list(weights[name].shape)}: it is "
                    "an adapter of another model"
                )

    def attach(self, network: DiffusionGemma) -> dict[str, Adapted]:
        """Give a network the updates, in place; errors as for `check`."""
        self.check(network)
        adapted = attach(network, self.config)
        for name, (low, high) in self.updates.items():
            with torch.no_grad():
                adapted[name].lora_a.copy_(low)
                adapted[name].lora_b.copy_(high)
        return adapted


def load_adapter(folder: str | Path) -> Adapter:
    """Read an adapter in PEFT's format.

    Keys of both readings that are equal are one update; keys of the decoder alone are one too, and
    a warning says so.

    Raises:
        CheckpointError: there is none, it is damaged, it has something that is not LoRA, or the
            updates of the two readings differ. MemoryLimitError: there is no memory for it.
    """
    folder = Path(folder).expanduser()
    if is_there(folder / "config.json") and not is_there(folder / CONFIG_FILE):
        raise CheckpointError(
            f"{folder} is a checkpoint, not an adapter, which has {CONFIG_FILE}: give it as the "
            "model"
        )
    raw = _read_config(folder / CONFIG_FILE)
    sides = {DECODER: dict[str, Update](), ENCODER: dict[str, Update]()}
    for module, inner, pair in _pairs(_read_tensors(folder / TENSOR_FILE), folder):
        side = next((one for one in sides if module.startswith(one)), None)
        if side is None:
            raise CheckpointError(
                f"{folder}: {module} is neither of the decoder nor of the text encoder; an adapter "
                "of the image encoder is not read"
            )
        name, update = from_file(module.removeprefix(side), inner, pair, raw["r"])
        sides[side][name] = update
    updates = _one_reading(folder, sides[DECODER], sides[ENCODER])
    return Adapter(_lora_config(raw, updates), updates)


def _one_reading(
    folder: Path, decoder: Mapping[str, Update], encoder: Mapping[str, Update]
) -> Mapping[str, Update]:
    shared = {name for name in decoder if name.startswith("layers.")}
    if foreign := sorted(set(encoder) - shared):
        raise CheckpointError(
            f"{folder} has an update of {foreign[0]} for the encoder alone: the two readings share "
            "their weights, so one update cannot be for one of them"
        )
    if not encoder:
        if shared:
            warnings.warn(
                f"{folder} has updates under the decoder's names alone: they hold for both "
                "readings here, as they do once they are merged",
                stacklevel=3,
            )
        return decoder
    for name in sorted(shared):
        if name not in encoder or not all(map(torch.equal, decoder[name], encoder[name])):
            raise CheckpointError(
                f"{folder} has different updates of {name} for encoder and decoder: they share one "
                "weight, so there is no one model that the two are merged into"
            )
    return decoder


def _pairs(tensors: Mapping[str, Tensor], folder: Path) -> Iterator[tuple[str, bool, Update]]:
    """Yield each module with an update: its name, whether it is the inner of two on one module,
    and A and B, float32."""
    found: dict[tuple[str, bool], dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = _KEY.fullmatch(key.removeprefix(PREFIX))
        if match is None or not key.startswith(PREFIX):
            raise CheckpointError(f"{folder}: {key} is no tensor of a LoRA adapter")
        if tensor.ndim != 2 or tensor.dtype not in FLOATS:
            raise CheckpointError(
                f"{folder}: {key} is {tensor.dtype} {list(tensor.shape)}, not a matrix of floats"
            )
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{folder}: {key} holds NaN or infinity")
        found.setdefault((match["module"], match["inner"] is not None), {})[match["side"]] = tensor
    for (module, inner), pair in found.items():
        if set(pair) != {"A", "B"}:
            raise CheckpointError(f"{folder}: {module} has only one of lora_A and lora_B")
        yield module, inner, (pair["A"].float(), pair["B"].float())
    if not found:
        raise CheckpointError(f"{folder} holds no update")


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file that there is memory for."""
    check_file(path)
    try:
        size, free = path.stat().st_size, free_memory(torch.device("cpu"))
        if size * MEMORY_FACTOR > free * USABLE:
            raise MemoryLimitError(
                f"{path} has {size / GIB:.1f} GiB, and reading it takes {MEMORY_FACTOR} times as "
                f"much; {free / GIB:.1f} are free"
            )
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def _read_config(path: Path) -> dict[str, Any]:
    try:
        raw = read_json(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be read as an adapter's config: {error}") from error
    if raw.get("peft_type") != "LORA":
        raise CheckpointError(f"{path}: only LoRA adapters of PEFT are read")
    rank = raw.setdefault("r", 8)
    if type(rank) is not int or rank < 1 or raw.get("rank_pattern"):
        raise CheckpointError(f"{path}: r={rank!r} must be one whole number for all updates")
    for name, value in READ_AS.items():
        if raw.get(name, value) not in (value, None):
            raise CheckpointError(f"{path}: {name}={raw[name]!r} is not read, only {value!r}")
    start = raw.get("init_lora_weights", True)
    if isinstance(start, str) and start.lower().startswith(CHANGES_BASE):
        raise CheckpointError(
            f"{path}: init_lora_weights={start!r} changes the base's weights too: save the adapter "
            "converted to plain LoRA"
        )
    return raw


def _lora_config(raw: Mapping[str, Any], updates: Mapping[str, Update]) -> LoraConfig:
    """Return the form of an adapter whose updates were read.

    Raises:
        CheckpointError: a setting is out of range.
    """
    try:
        return LoraConfig(
            rank=raw["r"],
            alpha=raw.get("lora_alpha", 8),
            dropout=0.0,
            rslora=raw.get("use_rslora", False),
            targets=tuple(re.escape(name) for name in updates),
        )
    except ConfigError as error:
        raise CheckpointError(f"{CONFIG_FILE}: {error}") from error
