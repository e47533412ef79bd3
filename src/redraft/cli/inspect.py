"""`redraft inspect`: a checkpoint described from its headers alone."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from redraft.cli.options import (
    GIB,
    DtypeOption,
    EmbeddingOption,
    GroupOption,
    JsonOption,
    VisionOption,
)
from redraft.config.model import FULL, SLIDING
from redraft.config.presets import PRESETS, RELEASED_VISION
from redraft.errors import MAX_LISTED, ConfigError, shown

if TYPE_CHECKING:
    from redraft.checkpoint import Checkpoint
    from redraft.checkpoint.memory_plan import MemoryPlan
    from redraft.checkpoint.vision import VisionPlan
    from redraft.config import ModelConfig


def inspect(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A checkpoint: a folder, a GGUF file, a hub id, or small, small-text, small-sight."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="The shape of a released model in place of a checkpoint: 26b."),
    ] = None,
    context: Annotated[int, typer.Option(help="The tokens of each text.", min=1)] = 4096,
    batch: Annotated[int, typer.Option(help="The texts of a batch.", min=1)] = 1,
    dtype: DtypeOption = "auto",
    format: Annotated[
        str | None,
        typer.Option("--format", "--to", help="Plan for quantized weights: int8, int4 or fp8."),
    ] = None,
    group: GroupOption = 64,
    embedding: EmbeddingOption = None,
    vision: VisionOption = True,
    tensors: Annotated[bool, typer.Option(help="List every tensor.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Describe a checkpoint without loading it.

    Its shape, its parameters and memory by part, and the cards that hold it.
    """
    from redraft.checkpoint import Quantization, open_checkpoint
    from redraft.checkpoint.dtype import DTYPES
    from redraft.checkpoint.load import load_problems, stored_dtype
    from redraft.checkpoint.memory_check import held_weights
    from redraft.checkpoint.memory_plan import plan_memory
    from redraft.checkpoint.vision import LEFT_OUT, VisionPlan, plan_vision

    if dtype not in (*DTYPES, "auto"):
        raise ConfigError(f"--dtype {dtype} must be one of auto, {', '.join(DTYPES)}")
    if (model is None) == (preset is None):
        raise ConfigError("give either a checkpoint or --preset")
    checkpoint = None if model is None else open_checkpoint(model)
    config = _preset(preset) if checkpoint is None else checkpoint.config
    images = VisionPlan(reason=LEFT_OUT)
    if vision:
        images = VisionPlan(RELEASED_VISION) if checkpoint is None else plan_vision(checkpoint)
    plan = plan_memory(
        config,
        checkpoint,
        dtype=DTYPES.get(dtype),
        quantization=None if format is None else Quantization(format, group, embedding),
        context=context,
        batch=batch,
        vision=images.config,
    )
    title = f"{preset} (no weights)" if checkpoint is None else str(checkpoint.path)
    description = describe(title, config, plan) | describe_vision(images)
    if checkpoint is not None and checkpoint.card is not None:
        description["card"] = checkpoint.card.to_dict()
    if checkpoint is not None:
        description |= describe_tensors(checkpoint, tensors)
        held = held_weights(checkpoint, DTYPES.get(dtype) or stored_dtype(checkpoint))
        description["problems"] = load_problems(checkpoint)
        description["quantized"] = {name: asdict(one) for name, one in held.items()}
    if as_json:
        print(json.dumps(description))
    else:
        _print(description, Console())


def _preset(name: str | None) -> ModelConfig:
    if name not in PRESETS:
        raise ConfigError(f"--preset {name} is not known: there is {', '.join(PRESETS)}")
    return PRESETS[name]


def describe(title: str, config: ModelConfig, plan: MemoryPlan) -> dict[str, Any]:
    """Return the shape of a model and its memory (bytes), as `redraft inspect --json` prints
    them."""
    sliding, full = config.layer_types.count(SLIDING), config.layer_types.count(FULL)
    heads, memory = config.num_attention_heads, plan.memory
    return {
        "model": title,
        "config": {
            "layers": f"{sliding} sliding (window {config.sliding_window}), {full} full",
            "hidden_size": config.hidden_size,
            "heads": f"{heads} x {config.head_dim} ({config.num_key_value_heads} kv) sliding, "
            f"{heads} x {config.global_head_dim} ({config.num_global_key_value_heads} kv) full",
            "experts": f"{config.num_experts}, top {config.top_k_experts}, "
            f"width {config.moe_intermediate_size}, beside a dense {config.intermediate_size}",
            "vocab_size": config.vocab_size,
            "canvas_length": config.canvas_length,
            "max_position_embeddings": config.max_position_embeddings,
        },
        "parameters": plan.parameters,
        "total_parameters": sum(plan.parameters.values()),
        "active_parameters": plan.active_parameters,
        "format": plan.format,
        "context": plan.context,
        "batch": plan.batch,
        "weights_bytes": memory.weights,
        "kv_cache_bytes": memory.kv_cache,
        "activations_bytes": memory.activations,
        "vocabulary_bytes": memory.vocabulary,
        "image_encoder_bytes": memory.image_encoder,
        "images_bytes": memory.images,
        "total_bytes": memory.total,
        "fits": memory.fits(),
    }


def describe_vision(plan: VisionPlan) -> dict[str, object]:
    """Return the shape of an image encoder, or why there is none."""
    if plan.config is None:
        return {"image_encoder": None, "no_images": plan.reason}
    config = plan.config
    side = config.soft_token_pixels
    return {
        "image_encoder": {
            "layers": config.num_hidden_layers,
            "hidden_size": config.hidden_size,
            "heads": f"{config.num_attention_heads} x {config.head_dim}",
            "patches": f"{config.patch_size} pixels; {side} x {side} a soft token",
            "soft_tokens": f"{config.budget} an image at most, unless asked: "
            f"{', '.join(map(str, config.budgets))}",
        }
    }


def describe_tensors(checkpoint: Checkpoint, every: bool) -> dict[str, object]:
    """Return the stored dtypes of a checkpoint, whether it has a vision tower, and the bytes of its
    files; with `every` each tensor too."""
    from redraft.checkpoint.names import is_vision

    infos = checkpoint.tensors
    files = {info.file for info in infos.values()}
    found: dict[str, object] = {
        "stored": dict(Counter(info.dtype for info in infos.values())),
        "vision": any(map(is_vision, infos)),
        "files_bytes": sum(path.stat().st_size for path in files),
    }
    if every:
        found["tensors"] = {
            name: {"shape": list(info.shape), "dtype": info.dtype, "file": info.file.name}
            for name, info in infos.items()
        }
    return found


def _print(description: dict[str, Any], console: Console) -> None:
    """Print a description as tables."""
    shape = Table(title=description["model"], show_header=False, title_justify="left")
    for name, value in description["config"].items():
        shape.add_row(name, str(value))
    for name, value in (description["image_encoder"] or {}).items():
        shape.add_row(f"image {name}", str(value))
    console.print(shape)
    if description["image_encoder"] is None:
        console.print(f"no images: {description['no_images']}", markup=False)
    if card := description.get("card"):
        console.print(f"for: {card['purpose']}", markup=False)
        for task in card["tasks"]:
            console.print(f"  {task['name']}: {task['description']}", markup=False)
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
    parts_of_memory = ("weights", "image_encoder", "kv_cache", "activations", "vocabulary")
    for name in (*parts_of_memory, "images", "total"):
        if name.startswith("image") and not description[f"{name}_bytes"]:
            continue
        memory.add_row(name.replace("_", " "), f"{description[name + '_bytes'] / GIB:.3f}")
    memory.columns[1].justify = "right"
    console.print(memory)
    if quantized := description.get("quantized"):
        held = Table("quantized weights", "number", "GiB in the file", "GiB in memory")
        for name, one in quantized.items():
            sizes = (f"{one[place] / GIB:.3f}" for place in ("file_bytes", "memory_bytes"))
            held.add_row(name, f"{one['weights']:,}", *sizes)
        for column in held.columns[1:]:
            column.justify = "right"
        console.print(held)
    if "files_bytes" in description:
        console.print(f"files: {description['files_bytes'] / GIB:.3f} GiB")
    cards = [f"{name} {'yes' if fits else 'no'}" for name, fits in description["fits"].items()]
    console.print("fits: " + ", ".join(cards))
    for name, tensor in description.get("tensors", {}).items():
        line = shown(f"{name}  {tensor['shape']}  {tensor['dtype']}  {tensor['file']}")
        console.print(line, markup=False)
    if problems := description.get("problems"):
        listed = "\n  - ".join(problems[:MAX_LISTED])
        console.print(shown(f"it cannot be loaded ({len(problems)}):\n  - {listed}"), markup=False)
