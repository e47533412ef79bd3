"""Save: write a checkpoint in the Hugging Face layout, which redraft and transformers load."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from redraft.checkpoint.durable import replace_durably
from redraft.checkpoint.names import is_vision, to_file, vision_to_file
from redraft.checkpoint.shards import INDEX, SINGLE
from redraft.checkpoint.source import SAMPLING_FILE, Checkpoint
from redraft.checkpoint.vision import vision_tensors
from redraft.config import GenerationConfig, ModelConfig
from redraft.config.file import model_config_to_dict
from redraft.config.model_card import CARD_FILE
from redraft.config.vision import (
    STUB_PATCH,
    STUB_POSITIONS,
    STUB_SIZE,
    VISION_STUB,
    is_stub,
    vision_config_from_dict,
    vision_config_to_dict,
)
from redraft.errors import CheckpointError
from redraft.network import DiffusionGemma
from redraft.network.vision import VisionEncoder
from redraft.quant import PackedWeight

# Files, and a folder, that are copied from the source.
COPIED_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "additional_chat_templates",
    "chat_template.json",
    "special_tokens_map.json",
    "added_tokens.json",
    CARD_FILE,
    "preprocessor_config.json",
    "processor_config.json",
)


def save_checkpoint(
    folder: str | Path,
    model: DiffusionGemma,
    generation_config: GenerationConfig,
    *,
    source: Checkpoint | None = None,
    companion: Callable[[Path], None] | None = None,
    vision: VisionEncoder | None = None,
    max_shard_bytes: int = 5_000_000_000,
) -> None:
    """Write config, generation config and weights.

    The folder appears complete or not at all: everything is written beside it and moved into place
    at the end.

    Args:
        source: a checkpoint whose tokenizer files and image encoder are copied.
        companion: called with the folder before it is moved; it may add files.
        vision: the image encoder; None for the source's.

    Raises:
        CheckpointError: the folder exists and is not empty, the source is gone, weights are
            quantized, or the folder cannot be written.
    """
    if not isinstance(model.embed_tokens.weight, Tensor) or any(
        isinstance(part, PackedWeight) for part in model.modules()
    ):
        raise CheckpointError(
            "quantized weights are not saved from memory: "
            "`redraft quantize` writes them from the original"
        )
    target = check_target(folder)
    copied = vision is None and source is not None and any(map(is_vision, source.tensors))
    if copied and source is not None and not source.folder.is_dir():
        raise CheckpointError(
            f"{source.folder} is gone, and with it the image encoder that the copy needs"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as name:
        draft = Path(name) / "checkpoint"
        draft.mkdir()
        config, images = _vision(model.config, source, vision)
        dtype = str(model.dtype).removeprefix("torch.")
        write_json(draft / "config.json", model_config_to_dict(config) | {"dtype": dtype})
        write_json(draft / "generation_config.json", generation_config.to_dict())
        if sampling := generation_config.sampling_to_dict():
            write_json(draft / SAMPLING_FILE, sampling)
        if source:
            _copy_files(source.folder, draft)
        if companion:
            companion(draft)
        write_shards(draft, _tensors(model, images), max_shard_bytes)
        move_folder(draft, target)


def check_target(folder: str | Path) -> Path:
    """Return the path of a folder that can be written.

    Raises:
        CheckpointError: it exists and is not empty.
    """
    target = Path(folder).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(
            f"{target} is not an empty folder: nothing there is overwritten, name another"
        )
    return target


def move_folder(draft: Path, target: Path) -> None:
    """Move a finished folder to its place, where an empty one may be."""
    if target.exists():
        target.rmdir()
    replace_durably(draft, target)


def _copy_files(source: Path, draft: Path) -> None:
    for name in COPIED_FILES:
        copy_path(source / name, draft / name)


def copy_path(source: Path, target: Path) -> None:
    """Copy a file, or a folder of files; nothing where there is none."""
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.exists():
        shutil.copy2(source, target)


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write indented JSON with a newline at its end."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _vision(
    config: ModelConfig, source: Checkpoint | None, encoder: VisionEncoder | None
) -> tuple[ModelConfig, Iterator[tuple[str, Tensor]]]:
    """Return the config with an image encoder, and the encoder's tensors: those in memory, the
    source's, or the stub's."""
    if encoder is not None:
        raw = config.vision_config
        if raw is None or is_stub(raw) or vision_config_from_dict(raw) != encoder.config:
            config = replace(config, vision_config=vision_config_to_dict(encoder.config))
        tensors = encoder.state_dict().items()
        return config, ((vision_to_file(name), tensor.to("cpu")) for name, tensor in tensors)
    if source is not None and any(map(is_vision, source.tensors)):
        return config, vision_tensors(source)
    outside = config.vocab_size  # ids that no text can contain
    stubbed = replace(
        config,
        vision_config=VISION_STUB,
        image_token_id=config.image_token_id or outside,
        boi_token_id=config.boi_token_id or outside + 1,
        eoi_token_id=config.eoi_token_id or outside + 2,
    )
    return stubbed, iter(_stub_tensors(config.hidden_size).items())


def _stub_tensors(hidden_size: int) -> dict[str, Tensor]:
    tower, size = "model.encoder.vision_tower.", STUB_SIZE
    layer = f"{tower}encoder.layers.0."
    norms = (
        "input_layernorm post_attention_layernorm pre_feedforward_layernorm "
        "post_feedforward_layernorm self_attn.q_norm self_attn.k_norm"
    )
    linears = (
        "mlp.gate_proj mlp.up_proj mlp.down_proj self_attn.q_proj self_attn.k_proj "
        "self_attn.v_proj self_attn.o_proj"
    )
    return {
        "model.encoder.embed_vision.embedding_projection.weight": torch.zeros(hidden_size, size),
        f"{tower}patch_embedder.input_proj.weight": torch.zeros(size, 3 * STUB_PATCH**2),
        f"{tower}patch_embedder.position_embedding_table": torch.ones(2, STUB_POSITIONS, size),
        **{f"{layer}{name}.weight": torch.ones(size) for name in norms.split()},
        **{f"{layer}{name}.linear.weight": torch.zeros(size, size) for name in linears.split()},
    }


def _tensors(
    model: DiffusionGemma, vision: Iterator[tuple[str, Tensor]]
) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in model.state_dict().items():
        yield to_file(name), tensor.detach().to("cpu").contiguous()
    for name, tensor in vision:
        yield name, tensor.to(model.dtype).contiguous()


def write_shards(folder: Path, tensors: Iterator[tuple[str, Tensor]], max_bytes: int) -> None:
    """Write shards of at most `max_bytes`, and an index if there are several.

    A tensor that is larger has a shard of its own.
    """
    shards: list[list[str]] = []
    pending: dict[str, Tensor] = {}
    total = 0

    def flush() -> None:
        try:
            save_file(pending, folder / f"shard-{len(shards)}", metadata={"format": "pt"})
        except SafetensorError as error:  # a full disk
            raise CheckpointError(f"{folder.parent} cannot be written: {error}") from error
        shards.append(list(pending))
        pending.clear()

    for name, tensor in tensors:
        if pending and sum(t.nbytes for t in pending.values()) + tensor.nbytes > max_bytes:
            flush()
        pending[name] = tensor
        total += tensor.nbytes
    flush()
    if len(shards) == 1:
        os.replace(folder / "shard-0", folder / SINGLE)
        return
    placed: dict[str, str] = {}
    for number, names in enumerate(shards):
        final = f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors"
        os.replace(folder / f"shard-{number}", folder / final)
        placed |= dict.fromkeys(names, final)
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": placed})
