"""Adapter files in PEFT's format: adapter_config.json and adapter_model.safetensors.

transformers has an encoder and a decoder that share one set of weights. PEFT sees two matrices, so
an update stands in a file twice, under each. Here it is one: both must be equal. PEFT's own
`merge_and_unload` adds both to the one matrix; `redraft merge` adds the update once.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from redraft.adapters.attach import Adapted, attach
from redraft.adapters.config import LoraConfig
from redraft.adapters.weights import LoraExperts
from redraft.errors import CheckpointError, ConfigError
from redraft.network import DiffusionGemma

CONFIG_FILE, TENSOR_FILE = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
DECODER, ENCODER = "model.decoder.", "model.encoder.language_model."
# Settings of PEFT that change what an adapter computes, with the value that is read here.
READ_AS = {
    "use_dora": False, "bias": "none", "lora_bias": False, "fan_in_fan_out": False,
    "modules_to_save": None, "alpha_pattern": {}, "layer_replication": None,
    "trainable_token_indices": None, "megatron_config": None, "use_qalora": False,
}  # fmt: skip
NOTE = """---
library_name: peft
tags: [diffusion_gemma, lora]
---

# A LoRA adapter for DiffusionGemma

Encoder and decoder share one set of weights, so each update stands in the file twice, under both
names, and is one update. Use it unmerged with PEFT, or merge it with

    redraft merge MODEL ADAPTER OUT

PEFT's own `merge_and_unload` adds every update twice to the shared matrix: do not use it.
"""
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
    updates: Mapping[str, tuple[Tensor, Tensor]]

    def attach(self, network: DiffusionGemma) -> dict[str, Adapted]:
        """Give a network the updates, in place.

        Raises:
            ConfigError: the network has no such weight. CheckpointError: it has another shape.
        """
        adapted = attach(network, self.config)
        for name, (low, high) in self.updates.items():
            weight = adapted[name]
            if weight.lora_a.shape != low.shape or weight.lora_b.shape != high.shape:
                raise CheckpointError(
                    f"the adapter's update of {name} is {list(high.shape)} times "
                    f"{list(low.shape)}, the model's weight is {list(weight.shape)}: it is an "
                    "adapter of another model"
                )
            with torch.no_grad():
                weight.lora_a.copy_(low)
                weight.lora_b.copy_(high)
        return adapted


def save_adapter(
    folder: Path, adapted: Mapping[str, Adapted], config: LoraConfig, base: str
) -> None:
    """Write an adapter in PEFT's format, under the names of both readings.

    Args:
        adapted: the network's weights with an update. base: the name of the base model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    modules: list[str] = []
    parameters: list[str] = []
    for name, weight in adapted.items():
        for module in _file_modules(name):
            low, high = _to_file(weight)
            tensors[f"{PREFIX}{module}.lora_A.weight"] = low
            tensors[f"{PREFIX}{module}.lora_B.weight"] = high
        if isinstance(weight, LoraExperts):
            parameters += [f"{side}{name}" for side in (DECODER, ENCODER)]
        else:
            modules += list(_file_modules(name))
    _check_experts_of_both(adapted)
    save_file(tensors, folder / TENSOR_FILE, metadata={"format": "pt"})
    written = {
        "peft_type": "LORA", "task_type": None, "base_model_name_or_path": base,
        "r": config.rank, "lora_alpha": config.alpha, "use_rslora": config.rslora,
        "lora_dropout": 0.0 if parameters else config.dropout, "bias": "none",
        "inference_mode": True, "target_modules": sorted(modules),
        "target_parameters": sorted(parameters, key=lambda one: "gate_up" not in one) or None,
    }  # fmt: skip
    (folder / CONFIG_FILE).write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(NOTE, encoding="utf-8")


def load_adapter(folder: str | Path) -> Adapter:
    """Read an adapter in PEFT's format.

    Keys of both readings that are equal are one update; keys of the decoder alone are one too, and
    a warning says so.

    Raises:
        CheckpointError: there is none, it is damaged, it has something that is not LoRA, or the
            updates of the two readings differ.
    """
    folder = Path(folder).expanduser()
    raw = _read_config(folder / CONFIG_FILE)
    try:
        tensors = load_file(folder / TENSOR_FILE)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / TENSOR_FILE} cannot be read: {error}") from error
    sides = {
        DECODER: dict[str, tuple[Tensor, Tensor]](),
        ENCODER: dict[str, tuple[Tensor, Tensor]](),
    }
    for module, inner, pair in _pairs(tensors, folder):
        side = next((one for one in sides if module.startswith(one)), None)
        if side is None:
            raise CheckpointError(
                f"{folder}: {module} is neither of the decoder nor of the text encoder; an adapter "
                "of the image encoder is not read"
            )
        name, update = _from_file(module.removeprefix(side), inner, pair, raw["r"])
        sides[side][name] = update
    updates = _one_reading(folder, sides[DECODER], sides[ENCODER])
    return Adapter(_lora_config(raw, updates), updates)


def _one_reading(
    folder: Path,
    decoder: Mapping[str, tuple[Tensor, Tensor]],
    encoder: Mapping[str, tuple[Tensor, Tensor]],
) -> Mapping[str, tuple[Tensor, Tensor]]:
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


def _pairs(
    tensors: Mapping[str, Tensor], folder: Path
) -> Iterator[tuple[str, bool, tuple[Tensor, Tensor]]]:
    """Yield each module with an update: its name, whether it is the inner of two on one module,
    and A and B."""
    found: dict[tuple[str, bool], dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = _KEY.fullmatch(key.removeprefix(PREFIX))
        if match is None or not key.startswith(PREFIX):
            raise CheckpointError(f"{folder}: {key} is no tensor of a LoRA adapter")
        found.setdefault((match["module"], match["inner"] is not None), {})[match["side"]] = tensor
    for (module, inner), pair in found.items():
        if set(pair) != {"A", "B"}:
            raise CheckpointError(f"{folder}: {module} has only one of lora_A and lora_B")
        yield module, inner, (pair["A"].float(), pair["B"].float())
    if not found:
        raise CheckpointError(f"{folder} holds no update")


def _file_modules(name: str) -> Iterator[str]:
    """Yield the modules under which a file has the update of a weight."""
    module = name.removesuffix(".weight")
    # Two updates on one module: the first is the base of the second.
    module = module.replace(".experts.gate_up_proj", ".experts.base_layer")
    module = module.replace(".experts.down_proj", ".experts")
    yield DECODER + module
    if name.startswith("layers."):
        yield ENCODER + module


def _to_file(weight: Adapted) -> tuple[Tensor, Tensor]:
    """Return A and B as PEFT has them: of experts [r * experts, K] and [N, r * experts]."""
    low, high = weight.lora_a.detach().cpu(), weight.lora_b.detach().cpu()
    if isinstance(weight, LoraExperts):
        low, high = low.flatten(0, 1), high.permute(1, 2, 0).flatten(1)
    return low.contiguous().clone(), high.contiguous().clone()


def _from_file(
    module: str, inner: bool, pair: tuple[Tensor, Tensor], rank: int
) -> tuple[str, tuple[Tensor, Tensor]]:
    """Return the network's name of a weight, and its update as the network has it."""
    low, high = pair
    if not module.endswith(".experts"):
        return f"{module}.weight", pair
    if low.shape[0] % rank or low.shape[0] != high.shape[1]:
        raise CheckpointError(f"{module}: {list(low.shape)} are not experts of rank {rank}")
    low = low.unflatten(0, (-1, rank))
    high = high.unflatten(1, (rank, -1)).permute(2, 0, 1)
    return f"{module}.{'gate_up' if inner else 'down'}_proj", (low, high.contiguous())


def _check_experts_of_both(adapted: Mapping[str, Adapted]) -> None:
    """Check that experts have both updates: with one alone PEFT names it otherwise."""
    kinds = {
        name.rpartition(".")[2] for name, one in adapted.items() if isinstance(one, LoraExperts)
    }
    if len(kinds) == 1:
        raise ConfigError(
            "targets: of experts take both, gate_up_proj and down_proj: PEFT's file format names "
            "one alone as if it were the other"
        )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as an adapter's config: {error}") from error
    if not isinstance(raw, dict) or raw.get("peft_type") != "LORA":
        raise CheckpointError(f"{path}: only LoRA adapters of PEFT are read")
    rank = raw.setdefault("r", 8)
    if type(rank) is not int or rank < 1 or raw.get("rank_pattern"):
        raise CheckpointError(f"{path}: r={rank!r} must be one whole number for all updates")
    for name, value in READ_AS.items():
        if raw.get(name, value) not in (value, None):
            raise CheckpointError(f"{path}: {name}={raw[name]!r} is not read, only {value!r}")
    return raw


def _lora_config(
    raw: Mapping[str, Any], updates: Mapping[str, tuple[Tensor, Tensor]]
) -> LoraConfig:
    """Return the form of an adapter whose updates were read.

    Raises:
        CheckpointError: ranks differ, or a setting is out of range.
    """
    try:
        return LoraConfig(
            rank=raw.get("r", 8),
            alpha=raw.get("lora_alpha", 8),
            dropout=0.0,
            rslora=bool(raw.get("use_rslora", False)),
            targets=tuple(re.escape(name) for name in updates),
        )
    except ConfigError as error:
        raise CheckpointError(f"{CONFIG_FILE}: {error}") from error
