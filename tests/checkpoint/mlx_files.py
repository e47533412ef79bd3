"""Folders of tiny models as MLX writes them: quantized by its own package, with its own names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from redraft.checkpoint.names import EXPERTS, is_vision
from redraft.testing import tiny_checkpoint

# Settings by the name of a case. All are those of mlx.core.quantize.
SETTINGS: dict[str, dict[str, Any]] = {
    **{f"affine {bits}": {"group_size": 64, "bits": bits} for bits in (2, 3, 4, 5, 6, 8)},
    "affine 4 by 32": {"group_size": 32, "bits": 4},
    "affine 3 by 32": {"group_size": 32, "bits": 3},
    "affine 4 by 128": {"group_size": 128, "bits": 4},
    "mxfp4": {"group_size": 32, "bits": 4, "mode": "mxfp4"},
    "mxfp8": {"group_size": 32, "bits": 8, "mode": "mxfp8"},
    "nvfp4": {"group_size": 16, "bits": 4, "mode": "nvfp4"},
}
MATRICES = (
    "_proj.weight",
    "router.proj.weight",
    "embed_tokens.weight",
    "embedding_projection.weight",
)
SHAPE: dict[str, Any] = {
    "hidden_size": 128, "intermediate_size": 128, "moe_intermediate_size": 128, "head_dim": 32, "global_head_dim": 64,
    "num_hidden_layers": 2, "num_experts": 4,
}  # fmt: skip


def as_mlx(tensor: Tensor) -> mx.array:
    return mx.array(tensor.float().numpy())


def as_torch(array: mx.array) -> Tensor:
    return torch.from_numpy(np.array(array.astype(mx.float32)))


def quantized(tensor: Tensor, said: Mapping[str, Any]) -> tuple[dict[str, mx.array], Tensor]:
    """What a file has of a matrix, or of many, and the numbers that these mean."""
    source = as_mlx(tensor)
    if said.get("mode", "affine") == "affine":
        source = source.astype(mx.bfloat16)
    arrays = mx.quantize(source, **said)
    exact = arrays
    if said.get("mode", "affine") == "affine":
        exact = [arrays[0], *(array.astype(mx.float32) for array in arrays[1:])]
    numbers = as_torch(mx.dequantize(*exact, **said, dtype=mx.float32))
    return dict(zip(("weight", "scales", "biases"), arrays, strict=False)), numbers


def write(
    folder: Path,
    said: Mapping[str, Any],
    own: Callable[[str], Mapping[str, Any] | bool] = lambda module: True,
    *,
    rename: Callable[[str], str] = lambda name: name,
    apart: bool = False,
    config: Mapping[str, Any] | None = None,
    **shape: Any,
) -> dict[str, Tensor]:
    """A tiny checkpoint, and the numbers that its matrices mean, by their names in the original.

    Args:
        own: a module's settings, True for `said`, or False to leave it as it is.
        rename: the names of experts. apart: gate and up are two tensors.
    """
    tiny_checkpoint(folder, **{**SHAPE, **shape})
    plain = load_file(folder / "model.safetensors")
    stored: dict[str, mx.array] = {}
    meant: dict[str, Tensor] = {}
    described: dict[str, Any] = dict(said)
    for name, tensor in plain.items():
        module = name.removesuffix(".weight")
        expert = module.endswith(tuple(EXPERTS))
        settings = own(module) if expert or name.endswith(MATRICES) else False
        size = (said if settings is True else settings or said)["group_size"]
        settings = settings if tensor.shape[-1] % size == 0 else False
        if not expert and settings is False:
            stored[name] = as_mlx(tensor).astype(mx.bfloat16)
            meant[name] = as_torch(stored[name])
            if name.endswith(MATRICES) and not is_vision(name):
                described[module] = False
            continue
        pieces = {module: tensor}
        if apart and module.endswith("gate_up_proj"):
            gate, up = tensor.chunk(2, dim=1)
            front = module.removesuffix("gate_up_proj")
            pieces = {f"{front}gate_proj": gate, f"{front}up_proj": up}
        numbers = []
        for piece, part in pieces.items():
            path = rename(piece)
            if settings is False:
                stored[f"{path}.weight"] = as_mlx(part).astype(mx.bfloat16)
                numbers.append(as_torch(stored[f"{path}.weight"]))
                continue
            used = said if settings is True else settings
            arrays, found = quantized(part, used)
            stored |= {f"{path}.{role}": array for role, array in arrays.items()}
            numbers.append(found)
            if settings is not True:
                described[path] = dict(used)
        meant[name] = torch.cat(numbers, dim=1) if len(numbers) > 1 else numbers[0]
    mx.save_safetensors(str(folder / "model.safetensors"), stored, metadata={"format": "mlx"})
    raw = json.loads((folder / "config.json").read_text())
    raw |= (
        {"quantization": described, "quantization_config": described} if config is None else config
    )
    (folder / "config.json").write_text(json.dumps(raw))
    return meant
