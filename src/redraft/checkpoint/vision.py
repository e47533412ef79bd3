"""The image encoder of a checkpoint: whether there is one, its check from the headers, its load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.checkpoint.names import is_vision, vision_to_file
from redraft.checkpoint.quantized_by import Quantized
from redraft.checkpoint.shards import ShardReader, TensorInfo, read_tensors
from redraft.checkpoint.source import Checkpoint
from redraft.config import ModelConfig
from redraft.config.vision import VisionConfig, is_stub, vision_config_from_dict
from redraft.errors import CheckpointError, ConfigError, TensorMismatchError
from redraft.network import place_weight
from redraft.network.vision import VisionEncoder
from redraft.quant import FORMATS, find_storage
from redraft.quant.format import FLOATS

LEFT_OUT = "its image encoder is left out (vision=False, --no-vision)"
TEXT_ALONE = "load the text alone with vision=False (--no-vision)"
# Numbers of a weight that is looked at for NaN and infinity.
SMALL = 1 << 20


@dataclass(frozen=True)
class VisionPlan:
    """The image encoder of a checkpoint.

    Attributes:
        config: its shape; None where there is none.
        reason: why there is none, as a sentence begins; empty where there is one.
    """

    config: VisionConfig | None = None
    reason: str = ""


def plan_vision(checkpoint: Checkpoint) -> VisionPlan:
    """Return the plan of a checkpoint's image encoder, from its config and headers alone.

    Raises:
        ConfigError: there are tensors of one, and the config does not describe them rightly.
        TensorMismatchError: some of its tensors are missing, unknown or of a wrong shape.
    """
    if checkpoint.gguf is not None:
        return VisionPlan(
            reason="a GGUF file of this architecture has no image encoder; load the folder of "
            "safetensors that it was made from"
        )
    raw = checkpoint.config.vision_config
    tensors = {name: info for name, info in checkpoint.tensors.items() if is_vision(name)}
    if raw is not None and is_stub(raw):
        return VisionPlan(reason="this checkpoint was saved without an image encoder")
    if not tensors:
        lacks = "has no image encoder" if raw is None else "lacks the tensors of its image encoder"
        return VisionPlan(reason=f"this checkpoint {lacks}")
    if raw is None:
        raise ConfigError(
            f"{checkpoint.folder} holds an image encoder and config.json has no vision_config: "
            f"add it, or {TEXT_ALONE}"
        )
    config = vision_config_from_dict(raw)
    check_image_tokens(checkpoint.config)
    shapes = vision_shapes(config, checkpoint.config.hidden_size)
    problems = list(_problems(tensors, shapes, checkpoint.quantization))
    # What a broken shard takes with it is told by the plan of the text network.
    lost = "".join(checkpoint.problems)
    if problems := [problem for problem in problems if problem.split(" ")[0] not in lost]:
        raise TensorMismatchError(str(checkpoint.folder), problems)
    return VisionPlan(config)


def check_image_tokens(config: ModelConfig) -> None:
    """Check that images have a place in prompts: three token ids of the vocabulary.

    Raises:
        ConfigError: one is missing, outside the vocabulary, or given twice.
    """
    ids = {
        name: getattr(config, name) for name in ("boi_token_id", "image_token_id", "eoi_token_id")
    }
    told = ", ".join(f"{name}={value}" for name, value in ids.items())
    if any(value is None or value >= config.vocab_size for value in ids.values()):
        raise ConfigError(
            f"config.json has {told} and a vocabulary of {config.vocab_size}: images need all "
            f"three in it; correct them, or {TEXT_ALONE}"
        )
    if len(set(ids.values())) < len(ids):
        raise ConfigError(f"config.json has {told}: they must be three tokens, or {TEXT_ALONE}")


def vision_shapes(config: VisionConfig, width: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of an image encoder's tensors, by their names in memory.

    Raises:
        ConfigError: a weight would be larger than a tensor can be.
    """
    try:
        with torch.device("meta"):
            encoder = VisionEncoder(config, width)
    except (RuntimeError, OverflowError) as error:
        raise ConfigError(f"vision_config asks for a weight that is too large: {error}") from None
    return {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}


def vision_parameters(config: VisionConfig, width: int) -> int:
    """Return the number of an image encoder's parameters."""
    return sum(torch.Size(shape).numel() for shape in vision_shapes(config, width).values())


def vision_bytes(plan: VisionPlan, width: int, dtype: torch.dtype) -> int:
    """Return the bytes of the weights of a plan's image encoder, 0 where there is none."""
    return 0 if plan.config is None else vision_parameters(plan.config, width) * dtype.itemsize


def _problems(
    tensors: dict[str, TensorInfo],
    shapes: dict[str, tuple[int, ...]],
    quantization: Quantized | None,
) -> Iterator[str]:
    wanted = {vision_to_file(name): shape for name, shape in shapes.items()}
    used = set(wanted)
    for name, shape in wanted.items():
        info = tensors.get(name)
        if parts := _quantized_parts(tensors, name):
            base = name.removesuffix(".weight")
            used.update(f"{base}.{role}" for role in parts)
            yield from _quantized_problems(base, parts, shape, quantization)
        elif info is None:
            yield f"{name} is missing"
        elif info.shape != shape:
            yield f"{name} has shape {list(info.shape)}, vision_config asks for {list(shape)}"
        elif info.dtype not in FLOATS:
            yield (
                f"{name} is stored as {info.dtype}; {', '.join(FLOATS)} can be read of an image "
                "encoder"
            )
    for name in tensors:
        if name not in used:
            yield f"{name} is unknown"


def _quantized_parts(tensors: Mapping[str, TensorInfo], name: str) -> dict[str, TensorInfo]:
    """Return the tensors of a matrix, by role; none where it is not quantized."""
    base = name.removesuffix("weight")
    if base == name:
        return {}
    found = {
        other.removeprefix(base): info
        for other, info in tensors.items()
        if other.startswith(base) and "." not in other.removeprefix(base)
    }
    return {} if set(found) <= {"weight"} else found


def _quantized_problems(
    base: str,
    parts: dict[str, TensorInfo],
    shape: tuple[int, ...],
    quantization: Quantized | None,
) -> Iterator[str]:
    method = quantization.method if quantization else None
    rows, columns = shape if len(shape) == 2 else (0, 0)
    storage = find_storage(FORMATS, rows, columns, parts, method)
    if storage is None or len(shape) != 2:
        yield f"{base} is stored as {', '.join(parts)}: no known format of an image encoder"
        return
    wrong = storage.problems(rows, columns, parts)
    yield from (f"{base}.{problem}" for problem in wrong)
    if quantization is not None and not wrong:
        yield from quantization.problems(base, (rows, columns), storage, parts)


def load_vision(
    checkpoint: Checkpoint,
    plan: VisionPlan,
    *,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
) -> VisionEncoder | None:
    """Build the image encoder of a plan and load its weights, one at a time.

    Returns:
        The encoder; None where the plan has none.

    Raises:
        CheckpointError: a small weight holds NaN or infinity.
    """
    if plan.config is None:
        return None
    with torch.device("meta"):
        encoder = VisionEncoder(plan.config, checkpoint.config.hidden_size)
    with torch.no_grad(), ShardReader(checkpoint.tensors) as reader:
        for name, empty in encoder.state_dict().items():
            stored = _read(checkpoint, reader, vision_to_file(name), tuple(empty.shape))
            weight = stored.to(device=device, dtype=dtype, copy=True)
            _check_finite(name, weight)
            place_weight(encoder, name, weight)
    return encoder.eval().requires_grad_(False)


def _read(checkpoint: Checkpoint, reader: ShardReader, name: str, shape: tuple[int, ...]) -> Tensor:
    """Read a weight. One that is quantized is decoded: the encoder computes with whole ones."""
    parts = _quantized_parts(checkpoint.tensors, name)
    if not parts:
        return reader.read(name)
    base = name.removesuffix("weight")
    stored = {role: reader.read(base + role) for role in parts}
    method = checkpoint.quantization.method if checkpoint.quantization else None
    storage = find_storage(FORMATS, shape[0], shape[1], parts, method)
    assert storage is not None, name
    storage.check(stored)
    return storage.load(stored, torch.float32).dequantize()


def vision_tensors(checkpoint: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a checkpoint's image encoder by their names in a file, decoded where
    they are quantized."""
    kept = {name: info for name, info in checkpoint.tensors.items() if is_vision(name)}
    raw = checkpoint.config.vision_config
    if raw is None or all(info.dtype in FLOATS for info in kept.values()):
        yield from read_tensors(kept)
        return
    shapes = vision_shapes(vision_config_from_dict(raw), checkpoint.config.hidden_size)
    with ShardReader(checkpoint.tensors) as reader:
        for name, shape in shapes.items():
            stored = vision_to_file(name)
            yield stored, _read(checkpoint, reader, stored, shape)


def _check_finite(name: str, weight: Tensor) -> None:
    # Limits of clamps are infinite where nothing is clamped.
    limit = name.endswith(("_min", "_max"))
    bad = weight.isnan().any() if limit else not weight.isfinite().all()
    if weight.numel() <= SMALL and bad:
        raise CheckpointError(
            f"{vision_to_file(name)} holds NaN or infinity as {weight.dtype}: load an intact "
            "checkpoint"
        )
