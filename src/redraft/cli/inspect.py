"""`redraft inspect`: a checkpoint described from its headers alone."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from redraft.api import DTYPES
from redraft.checkpoint import Checkpoint, Quantization, open_checkpoint
from redraft.checkpoint.load import stored_dtype
from redraft.checkpoint.memory_check import stored_bytes, weight_bytes
from redraft.checkpoint.names import is_vision
from redraft.config import ModelConfig
from redraft.config.model import FULL, SLIDING
from redraft.config.presets import PRESETS
from redraft.errors import ConfigError
from redraft.network.memory_estimate import (
    GIB,
    active_parameters,
    estimate_memory,
    parameter_counts,
)


@dataclass(frozen=True)
class Planned:
    """What memory is told for. quantization: of weights that are whole, None where they stay so."""

    context: int
    batch: int
    dtype: str
    quantization: Quantization | None


def describe(
    model: str | None, geometry: str | None, planned: Planned, *, list_tensors: bool, as_json: bool
) -> None:
    """Print the description of a checkpoint, or of a released shape.

    Raises:
        ConfigError: neither or both are given, or one that is not known.
    """
    if planned.dtype not in (*DTYPES, "auto"):
        raise ConfigError(f"--dtype {planned.dtype} must be one of auto, {', '.join(DTYPES)}")
    if (model is None) == (geometry is None):
        raise ConfigError("give either a checkpoint or --geometry")
    if model is None:
        if geometry not in PRESETS:
            raise ConfigError(f"--geometry {geometry} is not known: there is {', '.join(PRESETS)}")
        description = _shape(f"{geometry} (no weights)", PRESETS[geometry], planned, None)
    else:
        checkpoint = open_checkpoint(model)
        description = _shape(str(checkpoint.path), checkpoint.config, planned, checkpoint)
        description["stored"] = dict(Counter(info.dtype for info in checkpoint.tensors.values()))
        description["vision"] = any(map(is_vision, checkpoint.tensors))
        if list_tensors:
            description["tensors"] = {
                name: {"shape": list(info.shape), "dtype": info.dtype, "file": info.file.name}
                for name, info in checkpoint.tensors.items()
            }
    if as_json:
        print(json.dumps(description))
        return
    _print(description, Console())


def _weights(
    config: ModelConfig, planned: Planned, checkpoint: Checkpoint | None, itemsize: int
) -> int:
    """Bytes of the weights as they would be loaded."""
    if checkpoint is not None:
        return stored_bytes(checkpoint, itemsize, planned.quantization)
    return weight_bytes(config, itemsize, planned.quantization)


def _shape(
    name: str, config: ModelConfig, planned: Planned, checkpoint: Checkpoint | None
) -> dict[str, Any]:
    stored = (
        torch.bfloat16 if checkpoint is None or planned.quantization else stored_dtype(checkpoint)
    )
    itemsize = (DTYPES.get(planned.dtype) or stored).itemsize
    estimate = estimate_memory(
        config, itemsize=itemsize, context=planned.context, batch=planned.batch, device="cuda"
    )
    estimate = replace(estimate, weights=_weights(config, planned, checkpoint, itemsize))
    counts = parameter_counts(config)
    return {
        "model": name,
        "config": {
            "layers": f"{config.layer_types.count(SLIDING)} sliding (window {config.sliding_window}), "
            f"{config.layer_types.count(FULL)} full",
            "hidden_size": config.hidden_size,
            "heads": f"{config.num_attention_heads} x {config.head_dim} ({config.num_key_value_heads} kv) sliding, "
            f"{config.num_attention_heads} x {config.global_head_dim} ({config.num_global_key_value_heads} kv) full",
            "experts": f"{config.num_experts}, top {config.top_k_experts}, width {config.moe_intermediate_size}, "
            f"beside a dense {config.intermediate_size}",
            "vocab_size": config.vocab_size,
            "canvas_length": config.canvas_length,
            "max_position_embeddings": config.max_position_embeddings,
        },
        "parameters": counts,
        "total_parameters": sum(counts.values()),
        "active_parameters": active_parameters(config),
        "format": planned.quantization and planned.quantization.format,
        "context": planned.context,
        "batch": planned.batch,
        "weights_bytes": estimate.weights,
        "kv_cache_bytes": estimate.kv_cache,
        "activations_bytes": estimate.activations,
        "vocabulary_bytes": estimate.vocabulary,
        "total_bytes": estimate.total,
        "fits": estimate.fits(),
    }


def _print(description: dict[str, Any], console: Console) -> None:
    shape = Table(title=description["model"], show_header=False, title_justify="left")
    for name, value in description["config"].items():
        shape.add_row(name, str(value))
    console.print(shape)
    parts = Table("part", "parameters", "share", title_justify="left")
    total = description["total_parameters"]
    for name, count in description["parameters"].items():
        parts.add_row(name, f"{count:,}", f"{count / total:.1%}")
    parts.add_row("all", f"{total:,}", "", style="bold")
    parts.add_row("active per token", f"{description['active_parameters']:,}", "")
    for column in parts.columns[1:]:
        column.justify = "right"
    console.print(parts)
    memory = Table(f"memory, {description['batch']} x {description['context']} tokens", "GiB")
    for name in ("weights", "kv_cache", "activations", "vocabulary", "total"):
        memory.add_row(name.replace("_", " "), f"{description[name + '_bytes'] / GIB:.3f}")
    memory.columns[1].justify = "right"
    console.print(memory)
    cards = [f"{name} {'yes' if fits else 'no'}" for name, fits in description["fits"].items()]
    console.print("fits: " + ", ".join(cards))
    for name, tensor in description.get("tensors", {}).items():
        console.print(
            f"{name}  {tensor['shape']}  {tensor['dtype']}  {tensor['file']}", markup=False
        )
