"""Adapter files in PEFT's format: adapter_config.json and adapter_model.safetensors.

transformers has an encoder and a decoder that share one set of weights. PEFT sees two matrices, so
an update stands in a file twice, under each. Here it is one: both must be equal. PEFT's own
`merge_and_unload` adds both to the one matrix; `redraft merge` adds the update once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from redraft.adapters.config import LoraConfig
from redraft.adapters.weights import Adapted, LoraExperts
from redraft.errors import CheckpointError

CONFIG_FILE, TENSOR_FILE = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
DECODER, ENCODER = "model.decoder.", "model.encoder.language_model."
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


def save_adapter(
    folder: Path, adapted: Mapping[str, Adapted], config: LoraConfig, base: str
) -> None:
    """Write an adapter in PEFT's format, under the names of both readings.

    Args:
        adapted: the network's weights with an update. base: the name of the base model.

    Raises:
        CheckpointError: it cannot be written, for example because the disk is full.
    """
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
    written = {
        "peft_type": "LORA", "task_type": None, "base_model_name_or_path": base,
        "r": config.rank, "lora_alpha": config.alpha, "use_rslora": config.rslora,
        "lora_dropout": 0.0 if parameters else config.dropout, "bias": "none",
        "inference_mode": True, "target_modules": sorted(modules),
        "target_parameters": sorted(parameters, key=lambda one: "gate_up" not in one) or None,
    }  # fmt: skip
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / TENSOR_FILE, metadata={"format": "pt"})
        (folder / CONFIG_FILE).write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(NOTE, encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder} cannot be written: {error}") from error


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


def from_file(
    module: str, inner: bool, pair: tuple[Tensor, Tensor], rank: int
) -> tuple[str, tuple[Tensor, Tensor]]:
    """Return the network's name of a weight, and its update as the network has it."""
    low, high = pair
    if not module.endswith(".experts"):
        if inner:
            raise CheckpointError(f"{module} has two updates: only experts have")
        return f"{module}.weight", pair
    if low.shape[0] % rank or low.shape[0] != high.shape[1]:
        raise CheckpointError(f"{module}: {list(low.shape)} are not experts of rank {rank}")
    low = low.unflatten(0, (-1, rank))
    high = high.unflatten(1, (rank, -1)).permute(2, 0, 1)
    return f"{module}.{'gate_up' if inner else 'down'}_proj", (low, high.contiguous())
