"""Convert: a copy of any checkpoint in another form, and how far its weights are from the first.

What is written is read again and compared: the distance is that of the file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from redraft.checkpoint.decoded import DecodedReader, Difference, decoded_weights, difference
from redraft.checkpoint.names import to_file
from redraft.checkpoint.plan import plan_load, weight_shapes
from redraft.checkpoint.quantize import Quantization, check_not_gguf
from redraft.checkpoint.quantize_to_disk import QuantizationSource, fingerprint, quantized_copy
from redraft.checkpoint.repack import Repacking
from redraft.checkpoint.save import (
    COPIED_FILES,
    check_target,
    copy_path,
    move_folder,
    write_json,
    write_shards,
)
from redraft.checkpoint.shards import ShardReader
from redraft.checkpoint.source import SAMPLING_FILE, Checkpoint, open_checkpoint
from redraft.checkpoint.vision import vision_tensors
from redraft.config.file import model_config_to_dict
from redraft.errors import ConfigError
from redraft.quant import quantizable_formats
from redraft.text.plain_file import read_json

WHOLE = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SHORT = {"f32": "float32", "fp32": "float32", "bf16": "bfloat16"} | dict.fromkeys(
    ("f16", "fp16"), "float16"
)
# The same quantized numbers, in the words that most engines read.
REPACKED = "compressed-tensors"
# Keys of a config that say how the source is quantized.
QUANTIZED_KEYS = ("quantization", "quantization_config")
Progress = Callable[[int, int], None]


def target_formats() -> list[str]:
    """Return the names of the formats that can be written."""
    return [*WHOLE, *quantizable_formats(), REPACKED]


def convert(
    checkpoint: Checkpoint,
    folder: str | Path,
    form: str,
    *,
    group: int = 64,
    embedding: str | None = None,
    companion: Callable[[Path], None] | None = None,
    progress: Progress | None = None,
    max_shard_bytes: int = 1 << 30,
) -> Difference:
    """Write a folder of safetensors with the weights of any checkpoint.

    One weight and one shard are in memory at a time.

    Args:
        form: float32, bfloat16 or float16 for whole weights; a format to quantize to; or
            compressed-tensors for the source's own quantized numbers, in its words.
        group, embedding: as in `Quantization`.
        companion: called with the folder before it is moved; it may add files.
        progress: called after each weight with the number of weights that are done, and of all.

    Returns:
        How far the written weights are from the source's.

    Raises:
        ConfigError: there is no such format.
        CheckpointError: the folder exists and is not empty, or the source cannot be read.
    """
    form = SHORT.get(form.lower(), form.lower())
    check_not_gguf(form)
    if form not in target_formats():
        raise ConfigError(f"--format {form} is not known: there is {', '.join(target_formats())}")
    target = check_target(folder)
    if form == REPACKED:
        plan = plan_load(checkpoint)
        repacking = Repacking(plan, checkpoint.tensors)
        config = {**_config(checkpoint, None), "quantization_config": repacking.describe()}
        with ShardReader(checkpoint.tensors) as reader:
            tensors = _counted(repacking.tensors(reader), checkpoint, progress)
            _write(checkpoint, target, config, tensors, companion, max_shard_bytes)
    elif form in WHOLE:
        dtype = WHOLE[form]
        each = ((name, {to_file(name): one.to(dtype)}) for name, one in decoded_weights(checkpoint))
        tensors = _counted(each, checkpoint, progress, dtype)
        config = dict(_config(checkpoint, dtype))
        _write(checkpoint, target, config, tensors, companion, max_shard_bytes)
    else:
        quantization = Quantization(form, group, embedding)
        source = _source(checkpoint)
        quantized_copy(source, target, quantization, progress=progress, companion=companion)
    return difference(checkpoint, open_checkpoint(target))


def _source(checkpoint: Checkpoint) -> QuantizationSource:
    """Return any checkpoint as a source of a quantized copy."""
    others = {name: tensor.to(torch.bfloat16) for name, tensor in vision_tensors(checkpoint)}
    return QuantizationSource(
        DecodedReader(checkpoint, others),
        weight_shapes(checkpoint.config),
        torch.bfloat16,
        _config(checkpoint, torch.bfloat16),
        tuple(others),
        tuple(_files(checkpoint)),
        f"{checkpoint.path.resolve()} {fingerprint(checkpoint)}",
        cast=True,
    )


def _write(
    checkpoint: Checkpoint,
    target: Path,
    config: Mapping[str, object],
    tensors: Iterator[tuple[str, Tensor]],
    companion: Callable[[Path], None] | None,
    max_shard_bytes: int,
) -> None:
    """Write a folder, which appears when it is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as name:
        draft = Path(name) / "checkpoint"
        draft.mkdir()
        write_json(draft / "config.json", config)
        for path in _files(checkpoint):
            copy_path(path, draft / path.name)
        if not (draft / "generation_config.json").exists():
            write_json(draft / "generation_config.json", checkpoint.generation_config.to_dict())
        if companion:
            companion(draft)
        write_shards(draft, tensors, max_shard_bytes)
        move_folder(draft, target)


def _counted(
    weights: Iterator[tuple[str, Mapping[str, Tensor]]],
    checkpoint: Checkpoint,
    progress: Progress | None,
    dtype: torch.dtype | None = None,
) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of weights, and those of the image encoder.

    Args:
        dtype: of the image encoder; None for its own.
    """
    total = len(weight_shapes(checkpoint.config))
    for count, (_, tensors) in enumerate(weights, 1):
        yield from ((name, tensor.contiguous()) for name, tensor in tensors.items())
        if progress:
            progress(count, total)
    for name, tensor in vision_tensors(checkpoint):
        yield name, tensor.to(dtype or tensor.dtype).contiguous()


def _config(checkpoint: Checkpoint, dtype: torch.dtype | None) -> Mapping[str, object]:
    """Return the content of config.json: the source's own, without what is no longer so."""
    if checkpoint.gguf is not None:
        raw: dict[str, object] = dict(model_config_to_dict(checkpoint.config))
    else:
        raw = dict(read_json(checkpoint.folder / "config.json"))
        text = raw.get("text_config")
        if isinstance(text, dict):
            raw["text_config"] = {
                key: value for key, value in text.items() if key not in QUANTIZED_KEYS
            }
    kept = {key: value for key, value in raw.items() if key not in QUANTIZED_KEYS}
    return kept if dtype is None else kept | {"dtype": str(dtype).removeprefix("torch.")}


def _files(checkpoint: Checkpoint) -> Iterator[Path]:
    """Yield the files and folders that are copied; beside a GGUF file may be those of others."""
    names = (*COPIED_FILES, "generation_config.json", SAMPLING_FILE)
    if checkpoint.gguf is None:
        yield from (path for name in names if (path := checkpoint.folder / name).exists())
